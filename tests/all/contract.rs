//! One suite for every broker: what the host relies on, shown on each implementation.
//!
//! Each test is an async function over a [`World`]: a broker, a scope that makes its names unique
//! (tests run in parallel against one node), and a way to delete a queue, which no host does.
//! Waits are events with a bound, never sleeps; that nothing arrives is shown by counting what is
//! ready in a queue, or by what arrives behind it.
//!
//! To run the suite on another broker, give [`contract_suite`] an async function from a test's name
//! to a `World`:
//!
//! ```ignore
//! async fn world(test: &str) -> World {
//!     World::new(connect().await, test, |queue| Box::pin(delete(queue)))
//! }
//! contract_suite!(world);
//! ```
//!
//! Options behind the function go to `#[tokio::test(…)]`.

/// Makes one `#[tokio::test]` of every test of the suite.
macro_rules! contract_suite {
    ($world:path $(, $($option:tt)+)?) => {
        contract_suite! { @room consuming, $world, ($($($option)+)?), [
            prefetch_bounds_what_is_unsettled,
        ] }
        contract_suite! { @room routing, $world, ($($($option)+)?), [
            a_direct_exchange_routes_by_equal_keys,
            a_topic_exchange_routes_by_patterns,
            a_fanout_exchange_routes_to_every_binding,
            a_headers_exchange_routes_by_all_or_any_of_the_headers,
        ] }
    };
    (@room $room:ident, $world:path, $options:tt, [$($test:ident),+ $(,)?]) => {
        mod $room {
            $(contract_suite! { @test $room, $world, $options, $test })+
        }
    };
    (@test $room:ident, $world:path, ($($options:tt)*), $test:ident) => {
        #[tokio::test($($options)*)]
        async fn $test() {
            use super::*;
            let world = $world(stringify!($test)).await;
            crate::contract::within(crate::contract::$room::$test(&world)).await;
        }
    };
}

mod consuming;
mod embedded;
mod routing;
mod world;

pub(crate) use self::world::{World, within};
