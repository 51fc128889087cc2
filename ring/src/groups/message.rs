//! Messages to groups and endpoints, as receivers get them.

use bytes::Bytes;

use super::wire::{Content, TargetRef, parse};
use crate::configuration::ConfigurationKind;
use crate::delivery::Message;
use crate::id::MessageId;
use crate::seq::Ordinal;
use crate::service::Service;

/// A message to groups and endpoints. Shares the memory it came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMessage {
    /// Which message of which node.
    pub id: MessageId,
    /// Its place in the order of the ring it was sent on; none of a reliable or fifo message that was
    /// delivered before it had one.
    pub ordinal: Option<Ordinal>,
    /// The kind of the configuration in force where the ring delivered it.
    pub in_configuration: ConfigurationKind,
    /// Asked of the order by its sender.
    pub service: Service,
    /// The content.
    pub payload: Bytes,
    whole: Bytes,
}

impl GroupMessage {
    /// Around `payload_bytes` of content at the end of `message`.
    pub(super) fn new(message: &Message, payload_bytes: usize) -> Self {
        let whole = message.payload.clone();
        Self {
            id: message.id,
            ordinal: message.ordinal,
            in_configuration: message.in_configuration,
            service: message.service,
            payload: whole.slice(whole.len() - payload_bytes..),
            whole,
        }
    }

    /// Name of the endpoint that sent it, at the node `id.sender`.
    #[must_use]
    pub fn from(&self) -> &str {
        match parse(&self.whole) {
            Ok(Content::Message(envelope)) => envelope.from,
            _ => "",
        }
    }

    /// All it was sent to, in the sender's order.
    pub fn targets(&self) -> impl Iterator<Item = TargetRef<'_>> {
        let envelope = match parse(&self.whole) {
            Ok(Content::Message(envelope)) => Some(envelope),
            _ => None,
        };
        envelope.into_iter().flat_map(|envelope| envelope.targets())
    }
}
