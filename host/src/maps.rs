//! Maps for what is looked up per message: hashed by foldhash, which takes a fraction of the time of the
//! standard library's SipHash and is seeded anew in each process, so that nobody outside can tell which
//! keys collide.

use std::collections;

/// A map of the hot path.
pub type HashMap<K, V> = collections::HashMap<K, V, foldhash::fast::RandomState>;

/// A set of the hot path.
pub type HashSet<K> = collections::HashSet<K, foldhash::fast::RandomState>;
