use std::fmt;
use std::str::FromStr;

use crate::event::EventId;

use super::endpoints::mark;

/// The id of a delivery, `webhook-id` of each of its attempts: the event's id, a hyphen, and sixteen
/// hex digits that stand for the endpoint's name. It has no `.`, which separates it in what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId {
    event: EventId,
    endpoint: u64,
}

/// Text that is not the id of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a delivery's id: it must be the id of an event, `-`, and 16 hex digits")]
pub struct InvalidDeliveryId;

impl DeliveryId {
    /// The id of the delivery of an event to an endpoint.
    #[must_use]
    pub fn of(event: EventId, endpoint: &str) -> Self {
        Self { event, endpoint: mark(endpoint) }
    }

    /// The event it delivers.
    #[must_use]
    pub fn event(&self) -> EventId {
        self.event
    }

    pub(super) fn endpoint_mark(&self) -> u64 {
        self.endpoint
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.event, self.endpoint)
    }
}

impl FromStr for DeliveryId {
    type Err = InvalidDeliveryId;

    fn from_str(s: &str) -> Result<Self, InvalidDeliveryId> {
        let (event, endpoint) = s.rsplit_once('-').ok_or(InvalidDeliveryId)?;
        let id = Self {
            event: event.parse().map_err(|_| InvalidDeliveryId)?,
            endpoint: u64::from_str_radix(endpoint, 16).map_err(|_| InvalidDeliveryId)?,
        };
        // One id has one spelling: what comes back from a receiver is compared as text elsewhere.
        if id.to_string() == s { Ok(id) } else { Err(InvalidDeliveryId) }
    }
}

#[cfg(test)]
mod tests {
    use crate::event::IntentId;

    use super::*;

    #[test]
    fn the_id_of_a_delivery_survives_its_text() {
        let event = EventId::of(IntentId::now(), None);
        let id = DeliveryId::of(event, "build-service");
        let text = id.to_string();
        assert_eq!(text.parse::<DeliveryId>(), Ok(id));
        assert!(!text.contains('.') && text.starts_with(&event.to_string()), "{text}");
        assert_ne!(id, DeliveryId::of(event, "another"));
        for wrong in ["", "x", &event.to_string(), &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(wrong.parse::<DeliveryId>(), Err(InvalidDeliveryId), "{wrong}");
        }
    }
}
