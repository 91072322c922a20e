//! Notices: what is told, to whom, and how far it got.

use chassis::http::trace::TraceContext;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::template::close_text;

/// Which change of state a notice tells; called as its event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub enum Kind {
    ReservationReserved,
    ReservationChanged,
    ReservationCanceled,
    Treated,
    TreatmentFeeBilled,
    TreatmentFeeAccepted,
    TreatmentFeeCanceled,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::ReservationReserved,
        Self::ReservationChanged,
        Self::ReservationCanceled,
        Self::Treated,
        Self::TreatmentFeeBilled,
        Self::TreatmentFeeAccepted,
        Self::TreatmentFeeCanceled,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ReservationReserved => "ReservationReserved",
            Self::ReservationChanged => "ReservationChanged",
            Self::ReservationCanceled => "ReservationCanceled",
            Self::Treated => "Treated",
            Self::TreatmentFeeBilled => "TreatmentFeeBilled",
            Self::TreatmentFeeAccepted => "TreatmentFeeAccepted",
            Self::TreatmentFeeCanceled => "TreatmentFeeCanceled",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Nobody is known yet whom to send it to.
    Waiting,
    /// To be sent, perhaps again.
    Pending,
    /// Handed to a channel that does not say whether it arrives.
    Sent,
    /// The channel has it.
    Delivered,
    /// Given up.
    Failed,
}

impl State {
    const ALL: [Self; 5] = [Self::Waiting, Self::Pending, Self::Sent, Self::Delivered, Self::Failed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Pending => "PENDING",
            Self::Sent => "SENT",
            Self::Delivered => "DELIVERED",
            Self::Failed => "FAILED",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Whom a reservation's messages go to, as far as it is known.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Recipient {
    pub customer_id: Option<String>,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub reservation_date: Option<String>,
}

/// A message before it has its place.
pub struct NewNotice {
    pub reservation_id: i64,
    pub kind: Kind,
    /// Which event it is about.
    pub source: String,
    pub sequence: i64,
    /// With the recipient's part still open.
    pub text: String,
}

pub struct Notice {
    pub id: i64,
    pub reservation_id: i64,
    pub kind: Kind,
    pub recipient: Recipient,
    pub open_text: String,
    pub state: State,
    pub attempts: i64,
    /// Why it did not arrive, the last time.
    pub failure: Option<String>,
    pub created_at: i64,
    pub sent_at: Option<i64>,
    /// Of the event that it is about.
    pub trace: Option<TraceContext>,
}

impl Notice {
    /// The message as the customer gets it.
    pub fn text(&self) -> String {
        self.text_to(self.recipient.name.as_deref())
    }

    /// The message with another name in the name's place.
    pub fn text_to(&self, name: Option<&str>) -> String {
        close_text(&self.open_text, name, self.recipient.reservation_date.as_deref())
    }
}
