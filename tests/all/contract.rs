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
            higher_priorities_overtake,
            a_released_message_comes_back_in_its_place_and_flagged,
            a_dropped_receipt_is_released,
            cancelling_releases_what_was_not_handed_out,
            closing_writes_every_acknowledgement,
            what_a_closed_consumer_held_comes_again,
            what_is_left_comes_back_in_its_place_when_its_channel_closes,
            consumers_of_one_queue_share_its_messages,
            a_single_active_consumer_leaves_the_next_one_waiting,
            an_exclusive_consumer_is_alone,
            a_missing_queue_cannot_be_consumed,
            deleting_a_queue_cancels_its_consumer,
            looking_for_what_is_at_hand_hides_no_end,
            an_auto_delete_queue_goes_with_its_last_consumer,
            a_quorum_queue_counts_deliveries,
        ] }
        contract_suite! { @room letters, $world, ($($($option)+)?), [
            a_rejected_message_is_dead_lettered,
            without_a_dead_letter_exchange_a_rejected_message_is_gone,
            a_dead_letter_routing_key_replaces_the_own_one,
            a_queues_time_to_live_expires_messages,
            a_messages_own_expiration_is_kept_in_its_death_alone,
            the_shorter_time_to_live_counts,
            a_full_queue_drops_its_oldest_message,
            a_queue_full_of_bytes_drops_its_oldest_message,
            a_refused_publish_may_be_dead_lettered,
            a_message_delivered_too_often_is_dead_lettered,
            the_same_death_again_is_counted_up,
            the_newest_death_comes_first,
            dead_letters_pass_an_internal_exchange_that_no_client_may_publish_to,
        ] }
        contract_suite! { @room objects, $world, ($($($option)+)?), [
            the_server_says_what_it_is,
            declaring_again_finds_the_same,
            a_different_argument_is_named_with_both_values,
            a_different_property_is_named_with_both_values,
            what_a_broker_cannot_make_is_refused,
            asking_whether_an_object_exists_creates_nothing,
            a_queues_depth_counts_what_is_ready_and_who_consumes,
            a_binding_needs_both_ends,
            a_server_named_queue_comes_with_its_consumer,
        ] }
        contract_suite! { @room publishing, $world, ($($($option)+)?), [
            an_empty_group_has_no_outcome,
            unroutable_messages_are_told_from_their_neighbours,
            a_message_without_an_id_can_be_unroutable_too,
            a_missing_exchange_harms_no_neighbour,
            an_internal_exchange_takes_no_publishes,
            a_full_queue_may_refuse,
            what_is_too_large_is_impossible_and_harms_no_neighbour,
            every_property_and_header_type_survives,
            what_is_unset_stays_unset_but_messages_are_persistent,
        ] }
        contract_suite! { @room routing, $world, ($($($option)+)?), [
            a_direct_exchange_routes_by_equal_keys,
            a_topic_exchange_routes_by_patterns,
            a_fanout_exchange_routes_to_every_binding,
            a_headers_exchange_routes_by_all_or_any_of_the_headers,
            the_default_exchange_routes_to_the_queue_of_that_name,
            a_message_that_matches_twice_arrives_once,
            exchanges_feed_each_other_and_a_circle_ends,
            an_alternate_exchange_takes_what_no_binding_takes,
            the_predeclared_exchanges_are_there,
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
mod letters;
mod mqtt;
mod objects;
mod publishing;
mod rabbit;
mod routing;
mod world;

pub(crate) use self::world::{World, within};
