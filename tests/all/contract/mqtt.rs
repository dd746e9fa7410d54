//! The suite's applicable part on a real Mosquitto, in both versions of the protocol. What isn't applicable is
//! in [`ELSEWHERE`] with the reason, so that a test that is added to the suite is decided about here.

use std::sync::Arc;
use std::time::Duration;

use sluicegate::broker::mqtt::MqttBroker;
use sluicegate::config::{Credentials, Mqtt, MqttVersion, Quarantine, Tls};

use super::World;
use crate::mosquitto::Mosquitto;

/// A world on a broker of the test's own, which lasts as long as it does.
fn world_of(version: MqttVersion, test: &str) -> World {
    let node = Arc::new(Mosquitto::start());
    let settings = Mqtt {
        urls: vec![node.url()],
        credentials: Credentials::Default,
        tls: Tls::default(),
        version,
        keep_alive: Duration::from_secs(30),
        session_expiry: Duration::from_secs(3600),
        max_payload: 1 << 20,
        separator: '/',
        will: None,
        quarantine: Quarantine {
            dir: node.folder().join("quarantine"),
            max_files: 3,
            max_bytes: 1 << 20,
        },
    };
    let broker = MqttBroker::new("contract", settings);
    World::new(broker, test, move |queue| {
        let node = Arc::clone(&node);
        Box::pin(async move { panic!("no test deletes session '{queue}' of {}", node.url()) })
    })
}

macro_rules! on_mosquitto {
    ($name:ident, $version:expr, [$($publishing:ident),*]) => {
        mod $name {
            use super::*;

            async fn world(test: &str) -> World {
                world_of($version, test)
            }

            contract_suite! { @room consuming, world, (flavor = "multi_thread"), [
                a_released_message_comes_back_in_its_place_and_flagged,
                a_dropped_receipt_is_released,
                cancelling_releases_what_was_not_handed_out,
                closing_writes_every_acknowledgement,
                what_a_closed_consumer_held_comes_again,
                what_is_left_comes_back_in_its_place_when_its_channel_closes,
            ] }
            contract_suite! { @room objects, world, (flavor = "multi_thread"), [
                the_server_says_what_it_is,
            ] }
            contract_suite! { @room publishing, world, (flavor = "multi_thread"), [
                an_empty_group_has_no_outcome,
                $($publishing),*
            ] }
            contract_suite! { @room routing, world, (flavor = "multi_thread"), [
                the_default_exchange_routes_to_the_queue_of_that_name,
            ] }
        }
    };
}

on_mosquitto!(version_5, MqttVersion::V5, [a_message_without_an_id_can_be_unroutable_too]);
// Before version 5 no broker says that nobody is subscribed.
on_mosquitto!(version_3, MqttVersion::V3, []);

/// What isn't applicable, and why.
const ELSEWHERE: [(&str, &[&str]); 9] = [
    (
        "MQTT has no exchanges and bindings",
        &[
            "unroutable_messages_are_told_from_their_neighbours",
            "an_internal_exchange_takes_no_publishes",
            "a_binding_needs_both_ends",
            "a_direct_exchange_routes_by_equal_keys",
            "a_topic_exchange_routes_by_patterns",
            "a_fanout_exchange_routes_to_every_binding",
            "a_headers_exchange_routes_by_all_or_any_of_the_headers",
            "a_message_that_matches_twice_arrives_once",
            "exchanges_feed_each_other_and_a_circle_ends",
            "an_alternate_exchange_takes_what_no_binding_takes",
            "the_predeclared_exchanges_are_there",
        ],
    ),
    (
        "MQTT has no dead letters and no bounds of a queue: a confirmed copy, by `mqtt::hosts`",
        &[
            "a_rejected_message_is_dead_lettered",
            "without_a_dead_letter_exchange_a_rejected_message_is_gone",
            "a_dead_letter_routing_key_replaces_the_own_one",
            "a_queues_time_to_live_expires_messages",
            "a_messages_own_expiration_is_kept_in_its_death_alone",
            "the_shorter_time_to_live_counts",
            "a_full_queue_drops_its_oldest_message",
            "a_queue_full_of_bytes_drops_its_oldest_message",
            "a_refused_publish_may_be_dead_lettered",
            "a_message_delivered_too_often_is_dead_lettered",
            "the_same_death_again_is_counted_up",
            "the_newest_death_comes_first",
            "dead_letters_pass_an_internal_exchange_that_no_client_may_publish_to",
            "a_full_queue_may_refuse",
        ],
    ),
    (
        "nobody can look into a session: what is in it is seen by consuming it",
        &[
            "prefetch_bounds_what_is_unsettled",
            "a_missing_exchange_harms_no_neighbour",
            "asking_whether_an_object_exists_creates_nothing",
            "a_queues_depth_counts_what_is_ready_and_who_consumes",
        ],
    ),
    (
        "a session has one consumer; several share by `$share`, by `mqtt::hosts`",
        &[
            "consumers_of_one_queue_share_its_messages",
            "a_single_active_consumer_leaves_the_next_one_waiting",
            "an_exclusive_consumer_is_alone",
        ],
    ),
    (
        "a session is made by connecting, and nobody else can end it",
        &[
            "a_missing_queue_cannot_be_consumed",
            "deleting_a_queue_cancels_its_consumer",
            "looking_for_what_is_at_hand_hides_no_end",
            "an_auto_delete_queue_goes_with_its_last_consumer",
            "a_server_named_queue_comes_with_its_consumer",
        ],
    ),
    ("MQTT has no priorities", &["higher_priorities_overtake"]),
    ("MQTT counts no deliveries", &["a_quorum_queue_counts_deliveries"]),
    (
        "a session has no arguments to compare",
        &[
            "declaring_again_finds_the_same",
            "a_different_argument_is_named_with_both_values",
            "a_different_property_is_named_with_both_values",
            "what_a_broker_cannot_make_is_refused",
        ],
    ),
    (
        "MQTT has other properties and bounds: by `mqtt::consuming` and `mqtt::forms`",
        &[
            "what_is_too_large_is_impossible_and_harms_no_neighbour",
            "every_property_and_header_type_survives",
            "what_is_unset_stays_unset_but_messages_are_persistent",
        ],
    ),
];

#[test]
fn every_test_of_the_suite_is_applied_or_not_for_a_reason() {
    let suite = include_str!("../contract.rs");
    let own = include_str!("mqtt.rs").split("const ELSEWHERE").next().unwrap_or_default();
    let named: Vec<&str> = ELSEWHERE.iter().flat_map(|(_, names)| *names).copied().collect();
    let is_test = |line: &&str| {
        line.strip_suffix(',').is_some_and(|it| {
            it.contains('_')
                && it.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
        })
    };
    for line in suite.lines().map(str::trim).filter(is_test) {
        let test = line.trim_end_matches(',');
        let applied = own.contains(test);
        assert_ne!(applied, named.contains(&test), "{test}: applied {applied}");
    }
}
