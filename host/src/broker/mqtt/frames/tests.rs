#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::config::Quarantine;

fn frames(version: MqttVersion, folder: &tempfile::TempDir) -> Frames {
    let quarantine = Quarantine { dir: folder.path().join("q"), max_files: 10, max_bytes: 1 << 20 };
    Frames::new(version, 100, Keeper(quarantine))
}

/// A message of QoS 1 with packet id 7.
fn publish(version: MqttVersion, topic: &str, properties: &[u8], payload: usize) -> Vec<u8> {
    let mut rest = BytesMut::new();
    rest.extend_from_slice(&u16::try_from(topic.len()).unwrap().to_be_bytes());
    rest.extend_from_slice(topic.as_bytes());
    rest.extend_from_slice(&[0, 7]);
    if version == MqttVersion::V5 {
        write_length(properties.len(), &mut rest);
        rest.extend_from_slice(properties);
    }
    rest.extend_from_slice(&vec![b'x'; payload]);
    let mut packet = BytesMut::from(&[0x32][..]);
    write_length(rest.len(), &mut packet);
    packet.extend_from_slice(&rest);
    packet.to_vec()
}

fn all(frames: &mut Frames, bytes: &[u8], at_once: usize) -> Vec<Frame> {
    let mut found = Vec::new();
    for chunk in bytes.chunks(at_once) {
        frames.feed(chunk);
        while let Some(frame) = frames.next().unwrap() {
            found.push(frame);
        }
    }
    found
}

#[test]
fn packets_are_whole_however_they_come() {
    let folder = tempfile::tempdir().unwrap();
    for version in [MqttVersion::V3, MqttVersion::V5] {
        let small = publish(version, "a/b", &[], 100);
        let large = publish(version, "a/ğ", &[], 5000);
        let bytes = [&[0xd0, 0][..], &small, &large, &small, &[0x40, 2, 0, 1]].concat();
        for at_once in [1, 2, 3, 7, 100, 10_000] {
            let found = all(&mut frames(version, &folder), &bytes, at_once);
            let packets: Vec<_> = found.iter().map(|frame| frame.packet.to_vec()).collect();
            let head = publish(version, "a/ğ", &[], 0);
            let expected = [vec![0xd0, 0], small.clone(), head, small.clone(), vec![0x40, 2, 0, 1]];
            assert_eq!(packets, expected, "{version:?} {at_once}");
            let oversize = found[2].oversize.as_ref().unwrap();
            assert_eq!(oversize.bytes, 5000);
            let kept = std::fs::read(&oversize.kept.as_ref().unwrap().path).unwrap();
            assert!(kept.ends_with(&[b'x'; 5000]));
            assert!(found.iter().filter(|frame| frame.oversize.is_some()).count() == 1);
        }
    }
}

#[test]
fn properties_past_every_bound_are_put_aside_with_the_payload() {
    let folder = tempfile::tempdir().unwrap();
    let properties = vec![b'p'; MQTT_HEAD_BYTES + 1];
    let bytes = publish(MqttVersion::V5, "a", &properties, 3);
    let found = all(&mut frames(MqttVersion::V5, &folder), &bytes, 1000);
    let oversize = found[0].oversize.as_ref().unwrap();
    assert_eq!(oversize.bytes, 3 + MQTT_HEAD_BYTES + 1 + 3);
    assert_eq!(found[0].packet.to_vec(), publish(MqttVersion::V5, "a", &[], 0));
}

#[test]
fn what_is_no_mqtt_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let endless = [0x32, 0xff, 0xff, 0xff, 0xff, 0x01];
    let short = [0x32, 0x81, 0x01, 0xff, 0xff, 0x00];
    let huge_control = [0x40, 0xff, 0xff, 0x7f];
    for bytes in [&endless[..], &short[..], &huge_control[..]] {
        let mut frames = frames(MqttVersion::V3, &folder);
        frames.feed(bytes);
        assert!(matches!(frames.next(), Err(BrokerError::ChannelClosed(_))), "{bytes:x?}");
    }
}

#[test]
fn a_full_disk_is_told_and_blocks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("q"), "a file where the folder should be").unwrap();
    let bytes = publish(MqttVersion::V3, "a", &[], 5000);
    let found = all(&mut frames(MqttVersion::V3, &folder), &bytes, 1000);
    assert!(found[0].oversize.as_ref().unwrap().kept.is_err());
}

proptest::proptest! {
    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let folder = tempfile::tempdir().unwrap();
        let mut frames = frames(MqttVersion::V5, &folder);
        frames.feed(&bytes);
        while let Ok(Some(_)) = frames.next() {}
    }
}
