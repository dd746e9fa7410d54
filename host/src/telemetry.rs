//! What the host tells of itself: metrics, and log events that go with them.
