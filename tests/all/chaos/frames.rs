//! As much of AMQP 0-9-1 as a proxy needs: where a frame ends, and which method it carries.

use bytes::{Buf as _, Bytes, BytesMut};

/// Type, channel, size; and the octet that ends a frame.
const HEADER: usize = 7;
const END: usize = 1;
/// What a client says first, or a server that refuses its version: no frame.
const GREETING: &[u8] = b"AMQP";
const GREETING_BYTES: usize = 8;
const METHOD: u8 = 1;

/// Class and method.
pub(super) type Method = (u16, u16);

pub(super) const CONFIRM_SELECT: Method = (85, 10);
pub(super) const BASIC_CONSUME: Method = (60, 20);
const BASIC_ACK: Method = (60, 80);
const BASIC_NACK: Method = (60, 120);

/// Takes the next whole frame, if it is there.
pub(super) fn next(read: &mut BytesMut) -> Option<Bytes> {
    let length = if read.starts_with(GREETING) {
        GREETING_BYTES
    } else {
        let size = read.get(3..HEADER)?;
        HEADER + usize::try_from(u32::from_be_bytes(size.try_into().ok()?)).ok()? + END
    };
    (read.len() >= length).then(|| read.split_to(length).freeze())
}

/// The method that a frame carries.
pub(super) fn method(frame: &Bytes) -> Option<Method> {
    let mut payload = frame.get(HEADER..).filter(|payload| payload.len() >= 4 + END)?;
    (frame[0] == METHOD).then(|| (payload.get_u16(), payload.get_u16()))
}

/// From a server, these can only be about what was published.
pub(super) fn is_confirm(frame: &Bytes) -> bool {
    method(frame).is_some_and(|method| method == BASIC_ACK || method == BASIC_NACK)
}

#[test]
fn frames_are_told_apart_wherever_the_bytes_are_cut() {
    let ack = [&[1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80][..], &[0; 9], &[0xCE]].concat();
    let heartbeat = [8, 0, 0, 0, 0, 0, 0, 0xCE];
    let all = [&b"AMQP\0\0\x09\x01"[..], &ack, &heartbeat].concat();
    for cut in 0..all.len() {
        let mut read = BytesMut::new();
        let mut frames = Vec::new();
        for part in [&all[..cut], &all[cut..]] {
            read.extend_from_slice(part);
            frames.extend(std::iter::from_fn(|| next(&mut read)));
        }
        let sizes: Vec<usize> = frames.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [8, ack.len(), 8], "cut at {cut}");
        assert!(is_confirm(&frames[1]) && !is_confirm(&frames[2]) && !is_confirm(&frames[0]));
    }
}
