//! Tests live in `all/`.
