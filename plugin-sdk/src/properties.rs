//! AMQP's basic properties: read in place, and drafted for emissions.

use std::str;

use crate::table::Table;
use crate::value::{Fields, Reader, length, write_short};

/// Where each property lies in AMQP's flags.
pub(crate) mod flag {
    pub(crate) const CONTENT_TYPE: u16 = 1 << 15;
    pub(crate) const CONTENT_ENCODING: u16 = 1 << 14;
    pub(crate) const HEADERS: u16 = 1 << 13;
    pub(crate) const DELIVERY_MODE: u16 = 1 << 12;
    pub(crate) const PRIORITY: u16 = 1 << 11;
    pub(crate) const CORRELATION_ID: u16 = 1 << 10;
    pub(crate) const REPLY_TO: u16 = 1 << 9;
    pub(crate) const EXPIRATION: u16 = 1 << 8;
    pub(crate) const MESSAGE_ID: u16 = 1 << 7;
    pub(crate) const TIMESTAMP: u16 = 1 << 6;
    pub(crate) const KIND: u16 = 1 << 5;
    pub(crate) const USER_ID: u16 = 1 << 4;
    pub(crate) const APP_ID: u16 = 1 << 3;
    pub(crate) const CLUSTER_ID: u16 = 1 << 2;
}

/// An encoded property list, read as far as somebody asks. What is cut short is as if it weren't there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Properties<'a> {
    flags: u16,
    values: &'a [u8],
}

impl<'a> Properties<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let Some((flags, values)) = bytes.split_first_chunk() else { return Self::default() };
        Self { flags: u16::from_be_bytes(*flags), values }
    }

    /// The bytes of a property's value, without its length.
    fn value(&self, wanted: u16) -> Option<&'a [u8]> {
        if self.flags & wanted == 0 {
            return None;
        }
        let mut rest = Reader(self.values);
        let mut flag = flag::CONTENT_TYPE;
        while flag != wanted {
            if self.flags & flag != 0 {
                skip(&mut rest, flag)?;
            }
            flag >>= 1;
        }
        skip(&mut rest, wanted)
    }

    pub(crate) fn text(&self, wanted: u16) -> Option<&'a str> {
        str::from_utf8(self.value(wanted)?).ok()
    }

    pub(crate) fn octet(&self, wanted: u16) -> Option<u8> {
        self.value(wanted)?.first().copied()
    }

    pub(crate) fn timestamp(&self) -> Option<u64> {
        self.value(flag::TIMESTAMP)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    pub(crate) fn headers(&self) -> Fields<'a> {
        self.value(flag::HEADERS).map(Fields::new).unwrap_or_default()
    }
}

fn skip<'a>(rest: &mut Reader<'a>, flag: u16) -> Option<&'a [u8]> {
    match flag {
        flag::HEADERS => rest.long(),
        flag::DELIVERY_MODE | flag::PRIORITY => rest.take(1),
        flag::TIMESTAMP => rest.take(8),
        _ => rest.short(),
    }
}

/// Properties under construction: text by flag, in AMQP's order when written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Draft {
    texts: Vec<(u16, String)>,
    pub(crate) headers: Table,
    pub(crate) delivery_mode: Option<u8>,
    pub(crate) priority: Option<u8>,
    pub(crate) timestamp: Option<u64>,
}

/// What a forwarded message keeps of its producer's text properties. Not its content encoding: the
/// host has taken that off the body.
const FORWARDED: [u16; 5] =
    [flag::CONTENT_TYPE, flag::CORRELATION_ID, flag::REPLY_TO, flag::KIND, flag::APP_ID];

impl Draft {
    /// What a forwarded message keeps.
    pub(crate) fn forward(properties: &Properties<'_>) -> Self {
        let mut draft = Self {
            headers: Table::copy(properties.headers()),
            priority: properties.octet(flag::PRIORITY),
            timestamp: properties.timestamp(),
            ..Self::default()
        };
        for flag in FORWARDED {
            if let Some(text) = properties.text(flag) {
                draft.set(flag, text);
            }
        }
        draft
    }

    pub(crate) fn set(&mut self, flag: u16, text: impl Into<String>) {
        self.texts.retain(|(set, _)| *set != flag);
        self.texts.push((flag, text.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        let start = to.len();
        let mut flags = 0;
        to.extend([0, 0]);
        for bit in (2..16).rev() {
            let flag = 1 << bit;
            if self.write_one(to, flag).is_some() {
                flags |= flag;
            }
        }
        to[start..start + 2].copy_from_slice(&flags.to_be_bytes());
    }

    fn write_one(&self, to: &mut Vec<u8>, flag: u16) -> Option<()> {
        match flag {
            flag::HEADERS if self.headers.fields().is_empty() => return None,
            flag::HEADERS => {
                to.extend(length(self.headers.bytes()).to_be_bytes());
                to.extend(self.headers.bytes());
            }
            flag::DELIVERY_MODE => to.push(self.delivery_mode?),
            flag::PRIORITY => to.push(self.priority?),
            flag::TIMESTAMP => to.extend(self.timestamp?.to_be_bytes()),
            _ => {
                let (_, text) = self.texts.iter().find(|(set, _)| *set == flag)?;
                write_short(to, text);
            }
        }
        Some(())
    }
}
