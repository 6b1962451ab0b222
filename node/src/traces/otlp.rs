//! Spans as collectors take them: `ExportTraceServiceRequest` of the OpenTelemetry Protocol 1.x, in protobuf.
//!
//! Six messages of numbers and texts, which change in no way that matters here (the protocol is stable): writing them takes
//! less than the three crates that would, and their tests read them with one of these.

use super::spans::{Attribute, Span, Value};

/// Spans of one resource, as the body of a request.
pub(super) fn encode(resource: &[Attribute], spans: &[Span]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |written| attributes(written, 1, resource));
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, b"cairn");
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for one in spans {
                scope_spans.message(2, |written| span(written, one));
            }
        });
    });
    request.0
}

fn span(written: &mut Message, span: &Span) {
    /// SPAN_KIND_INTERNAL and SPAN_KIND_SERVER.
    const KINDS: [u64; 2] = [1, 2];
    /// STATUS_CODE_ERROR.
    const FAILED: u64 = 2;
    /// The trace is sampled, and it is known whether the parent is of another process.
    const FLAGS: u32 = 0x101;
    const PARENT_IS_REMOTE: u32 = 0x200;
    let remote = if span.serves && span.parent.is_some() { PARENT_IS_REMOTE } else { 0 };
    written.bytes(1, &span.trace);
    written.bytes(2, &span.id);
    if let Some(parent) = &span.parent {
        written.bytes(4, parent);
    }
    written.bytes(5, span.name.as_bytes());
    written.number(6, KINDS[usize::from(span.serves)]);
    written.fixed64(7, span.start);
    written.fixed64(8, span.end);
    attributes(written, 9, &span.attributes);
    for (name, at) in &span.events {
        written.message(11, |event| {
            event.fixed64(1, *at);
            event.bytes(2, name.as_bytes());
        });
    }
    if span.failed {
        written.message(15, |status| status.number(3, FAILED));
    }
    written.fixed32(16, FLAGS | remote);
}

fn attributes(written: &mut Message, field: u32, attributes: &[Attribute]) {
    for (name, value) in attributes {
        written.message(field, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, |any| match value {
                Value::Text(text) => any.bytes(1, text.as_bytes()),
                Value::Number(number) => any.number(3, number.cast_unsigned()),
            });
        });
    }
}

/// A message of protobuf, field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut within = Self::default();
        write(&mut within);
        self.bytes(field, &within.0);
    }

    fn number(&mut self, field: u32, number: u64) {
        self.tag(field, 0);
        self.varint(number);
    }

    fn fixed64(&mut self, field: u32, number: u64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn fixed32(&mut self, field: u32, number: u32) {
        self.tag(field, 5);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn tag(&mut self, field: u32, kind: u64) {
        self.varint(u64::from(field) << 3 | kind);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7F) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}
