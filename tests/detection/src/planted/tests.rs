use meter_detector::{Alarms, Tuning};

use super::*;

const SIZE: Size = Size { meters: 10, days: 100, seed: 3, resolution: 0.001 };

fn settings() -> Settings {
    Settings {
        tuning: Tuning { resolution: 0.01, ..Tuning::default() },
        alarms: Alarms::default(),
        channels: [true; 3],
        quiet_days: 14,
        lasting_days: 15,
        stuck: 8,
        register: false,
    }
}

#[test]
fn a_fleet_is_the_same_each_time_and_another_by_another_seed() {
    let of = |seed: u64| -> Vec<f64> {
        fleet(Size { seed, ..SIZE }, true).flat_map(|curve| curve.kwh).collect()
    };
    assert_eq!(of(3), of(3));
    assert_ne!(of(3), of(4));
}

#[test]
fn a_day_of_the_fleet_is_like_a_households() {
    for curve in fleet(SIZE, false) {
        let daily = curve.kwh.iter().sum::<f64>() / SIZE.days as f64;
        assert!((1.0..80.0).contains(&daily), "{:?}: {daily} kWh a day", curve.kind);
        assert!(curve.kwh.iter().all(|kwh| (0.0..6.0).contains(kwh)), "{:?}", curve.kind);
        assert!(curve.volts.iter().all(|volts| (200.0..250.0).contains(volts)));
    }
}

#[test]
fn what_stands_still_and_what_is_ten_times_the_highest_is_found_at_once() {
    for (plant, delay) in [(Plant::Stuck, 24), (Plant::Zero, 24), (Plant::SpikeOfHighest, 0)] {
        let found = find(SIZE, plant, &settings(), 30.0);
        assert_eq!(found.delays.len(), SIZE.meters, "{plant:?}");
        assert!(found.delays.iter().all(|readings| *readings <= delay), "{plant:?}: {found:?}");
    }
}
