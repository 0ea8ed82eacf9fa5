//! Drops the parts of `DescribeInstances` answers that Curfew does not read.
//!
//! EC2 tells some 9 kB about each instance, and Curfew reads a fifth of that. The SDK copies all of it, tag for tag, which for a
//! thousand instances took nine tenths of the time of an answer (docs/performance.md). So what is not read is left out while the
//! answer arrives; the rest goes to the SDK as EC2 wrote it.
//!
//! This knows less of XML than EC2 may use one day, and says so: at the first thing that it does not know (an attribute, a comment,
//! CDATA, an end tag that fits no start tag), it stops leaving anything out. What is left out is always a whole element, so an answer
//! that breaks off still breaks off.

#[cfg(test)]
mod tests;

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http_body::{Body, Frame};
use memchr::memchr;

use super::described_instance::{INSTANCE_ELEMENTS, RESERVATION_ELEMENTS};

/// Trims the answers of the call that it is given to.
#[derive(Debug)]
pub(super) struct ResponseFilter;

impl Intercept for ResponseFilter {
    fn name(&self) -> &'static str {
        "ResponseFilter"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        // What EC2 refuses with is short, and all of it is read.
        if response.status().is_success() {
            let answer = mem::replace(response.body_mut(), SdkBody::taken());
            *response.body_mut() = SdkBody::from_body_1_x(Trimmed {
                answer,
                trim: Some(XmlFilter::default()),
            });
        }
        Ok(())
    }
}

/// An answer that is trimmed as it arrives.
struct Trimmed {
    answer: SdkBody,
    /// Gone with the end of the answer.
    trim: Option<XmlFilter>,
}

impl Body for Trimmed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Self { answer, trim } = &mut *self;
            let Some(trimming) = trim else {
                return Poll::Ready(None);
            };
            let mut kept = Vec::new();
            if let Some(frame) = ready!(Pin::new(answer).poll_frame(context)) {
                match frame?.into_data() {
                    Ok(data) => trimming.take(&data, &mut kept),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                }
            } else {
                trimming.end(&mut kept);
                *trim = None;
            }
            // Nothing may be left of a frame; to say so would be to say that this is the end.
            if !kept.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(kept.into()))));
            }
        }
    }
}

/// From the document down to the instances: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
const PATH: [Children; 6] = [
    Children::All(Some("DescribeInstancesResponse")),
    Children::All(Some("reservationSet")),
    Children::All(Some("item")),
    Children::Only(RESERVATION_ELEMENTS, Some("instancesSet")),
    Children::All(Some("item")),
    Children::Only(INSTANCE_ELEMENTS, None),
];

/// What is read of an element's children.
#[derive(Clone, Copy)]
enum Children {
    /// All of them, as far as this is known; the one of this name is looked into.
    All(Option<&'static str>),
    /// These, and the one of this name, which is looked into.
    Only(&'static [&'static str], Option<&'static str>),
}

impl Children {
    fn disposition(self, name: &[u8]) -> Disposition {
        let is = |read: &str| read.as_bytes() == name;
        match self {
            Self::All(Some(inside)) | Self::Only(_, Some(inside)) if is(inside) => {
                Disposition::Descend
            }
            Self::Only(names, _) if !names.iter().any(|read| is(read)) => Disposition::Drop,
            Self::All(_) | Self::Only(..) => Disposition::Kept,
        }
    }
}

/// What becomes of an element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disposition {
    /// Its children have fates of their own.
    Descend,
    Kept,
    Drop,
}

/// How far an answer is understood, and what is still to be given on of it.
#[derive(Default)]
struct XmlFilter {
    /// What has arrived, without what was settled with an earlier part.
    held: Vec<u8>,
    /// Up to here, `held` is given on or left out.
    settled: usize,
    /// Up to here, `held` is understood: the end of a tag.
    understood: usize,
    /// Up to here, there is no other tag in `held`.
    searched: usize,
    open: OpenElements,
    /// How many of the open elements are looked into: the outermost ones.
    looked_into: usize,
    /// The disposition of the next one, with all that is in it; none while only those are open that are looked into.
    disposition: Option<Disposition>,
    /// Something is not understood: everything is given on from here.
    verbatim: bool,
}

/// The answer goes on in a way that this does not know.
struct NotUnderstood;

impl XmlFilter {
    /// Takes the next part of an answer, and adds to `kept` what the SDK should see.
    fn take(&mut self, part: &[u8], kept: &mut Vec<u8>) {
        if self.verbatim {
            return kept.extend_from_slice(part);
        }
        self.held.extend_from_slice(part);
        loop {
            match self.next_tag(kept) {
                Ok(true) => {}
                Ok(false) => break,
                Err(NotUnderstood) => {
                    self.verbatim = true;
                    return self.end(kept);
                }
            }
        }
        if self.disposition != Some(Disposition::Drop) {
            self.give_on(self.understood, kept);
        }
        self.held.drain(..self.settled);
        self.understood -= self.settled;
        self.searched -= self.settled;
        self.settled = 0;
    }

    /// Ends an answer: what is still held is not whole, and not for us to judge.
    fn end(&mut self, kept: &mut Vec<u8>) {
        self.give_on(self.held.len(), kept);
        self.held = Vec::new();
        self.settled = 0;
    }

    fn give_on(&mut self, until: usize, kept: &mut Vec<u8>) {
        kept.extend_from_slice(&self.held[self.settled..until]);
        self.settled = until;
    }

    /// Understands one more tag, and the text before it, if both are there.
    fn next_tag(&mut self, kept: &mut Vec<u8>) -> Result<bool, NotUnderstood> {
        let Some(start) = find(b'<', &self.held, self.searched) else {
            self.searched = self.held.len();
            return Ok(false);
        };
        self.searched = start;
        let Some(end) = find(b'>', &self.held, start) else {
            return Ok(false);
        };
        if self.disposition.is_none() {
            // Between elements that have no text there is white space, if anything.
            let between = &self.held[self.understood..start];
            if !between.iter().all(u8::is_ascii_whitespace) {
                return Err(NotUnderstood);
            }
            self.give_on(self.understood, kept);
            self.settled = start;
        }
        let next = end + 1;
        let left_out = match &self.held[start + 1..end] {
            [b'/', name @ ..] => {
                self.open.close(name.trim_ascii_end())?;
                self.closed()
            }
            [b'?', b'x', b'm', b'l', b' ', .., b'?'] if self.open.is_empty() => false,
            [name @ .., b'/'] => {
                let name = name_in(name, self.open.is_empty())?;
                // Nothing is in it that could be looked into.
                self.disposition.is_none()
                    && PATH[self.looked_into].disposition(name) == Disposition::Drop
            }
            name => {
                let name = name_in(name, self.open.is_empty())?;
                if self.disposition.is_none() {
                    match PATH[self.looked_into].disposition(name) {
                        Disposition::Descend => self.looked_into += 1,
                        disposition => self.disposition = Some(disposition),
                    }
                }
                self.open.push(name);
                false
            }
        };
        if left_out {
            self.settled = next;
        }
        self.understood = next;
        self.searched = next;
        Ok(true)
    }

    /// An element has been closed; says whether it is one to leave out.
    fn closed(&mut self) -> bool {
        let open = self.open.len();
        if open < self.looked_into {
            self.looked_into = open;
        } else if open == self.looked_into {
            return self.disposition.take() == Some(Disposition::Drop);
        }
        false
    }
}

fn find(byte: u8, within: &[u8], from: usize) -> Option<usize> {
    memchr(byte, &within[from..]).map(|at| from + at)
}

/// The name in a start tag without attributes; the root has its namespace as one.
fn name_in(tag: &[u8], is_root: bool) -> Result<&[u8], NotUnderstood> {
    let tag = tag.trim_ascii_end();
    let name = match tag.iter().position(|byte| *byte == b' ') {
        Some(space) if is_root && is_namespace(&tag[space..]) => &tag[..space],
        Some(_) => return Err(NotUnderstood),
        None => tag,
    };
    let begins_well = name.first().is_some_and(u8::is_ascii_alphabetic);
    // No colon: what a prefix stands for is beyond this.
    if begins_well && name.iter().all(u8::is_ascii_alphanumeric) {
        Ok(name)
    } else {
        Err(NotUnderstood)
    }
}

fn is_namespace(attribute: &[u8]) -> bool {
    let value = attribute
        .strip_prefix(b" xmlns=\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    value.is_some_and(|value| !value.iter().any(|byte| b"\"<&".contains(byte)))
}

/// The names of the elements that are open, from the root on.
#[derive(Default)]
struct OpenElements {
    /// One behind the other.
    names: Vec<u8>,
    /// Where each begins.
    begins: Vec<usize>,
}

impl OpenElements {
    fn len(&self) -> usize {
        self.begins.len()
    }

    fn is_empty(&self) -> bool {
        self.begins.is_empty()
    }

    fn push(&mut self, name: &[u8]) {
        self.begins.push(self.names.len());
        self.names.extend_from_slice(name);
    }

    /// Closes the innermost, if that is its name.
    fn close(&mut self, name: &[u8]) -> Result<(), NotUnderstood> {
        match self.begins.last() {
            Some(&begin) if &self.names[begin..] == name => {
                self.names.truncate(begin);
                self.begins.pop();
                Ok(())
            }
            _ => Err(NotUnderstood),
        }
    }
}
