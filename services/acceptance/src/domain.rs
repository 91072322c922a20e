//! Bills and what may become of them. Money is whole won.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A price: more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Won(i64);

impl TryFrom<i64> for Won {
    type Error = String;

    fn try_from(amount: i64) -> Result<Self, String> {
        if amount <= 0 {
            return Err(format!("{amount} is no price; it must be a whole number of won above 0"));
        }
        Ok(Self(amount))
    }
}

/// What each treatment costs.
#[derive(Debug, Clone, Deserialize)]
pub struct FeeTable {
    default: Won,
    by_treatment: HashMap<String, Won>,
}

impl FeeTable {
    pub fn fee(&self, treatment: Option<&str>) -> i64 {
        treatment.and_then(|treatment| self.by_treatment.get(treatment)).unwrap_or(&self.default).0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    Billed,
    Paid,
    /// Cancelled before it was paid.
    Voided,
    /// Cancelled after it was paid: the money went back.
    Refunded,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Billed => "BILLED",
            Self::Paid => "PAID",
            Self::Voided => "VOIDED",
            Self::Refunded => "REFUNDED",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Billed, Self::Paid, Self::Voided, Self::Refunded].into_iter().find(|state| state.name() == name)
    }
}

/// What a treatment is billed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBill {
    pub reservation_id: i64,
    pub customer_id: Option<String>,
    pub treatment: Option<String>,
    pub fee: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    pub id: i64,
    pub reservation_id: i64,
    /// Whose it is; unknown where the treatment's event did not say.
    pub customer_id: Option<String>,
    pub treatment: Option<String>,
    pub fee: i64,
    pub state: State,
    /// How it was paid.
    pub method: Option<String>,
    pub version: i64,
    pub billed_at: i64,
    pub paid_at: Option<i64>,
    /// When it was voided or refunded.
    pub canceled_at: Option<i64>,
}

/// Why a bill does not go from where it is to where someone wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("It is paid already.")]
    AlreadyPaid,
    #[error("It was paid; a paid bill is refunded, not voided.")]
    PaidNotVoidable,
    #[error("It is not paid; an unpaid bill is voided, not refunded.")]
    UnpaidNotRefundable,
    #[error("It was voided or refunded; nothing more becomes of it.")]
    Closed,
}

impl Bill {
    pub fn pay(&mut self, method: Option<String>, now_ms: i64) -> Result<(), Refusal> {
        match self.state {
            State::Billed => {}
            State::Paid => return Err(Refusal::AlreadyPaid),
            State::Voided | State::Refunded => return Err(Refusal::Closed),
        }
        self.state = State::Paid;
        self.method = method;
        self.paid_at = Some(now_ms);
        self.version += 1;
        Ok(())
    }

    pub fn void(&mut self, now_ms: i64) -> Result<(), Refusal> {
        match self.state {
            State::Billed => self.close(State::Voided, now_ms),
            State::Paid => return Err(Refusal::PaidNotVoidable),
            State::Voided | State::Refunded => return Err(Refusal::Closed),
        }
        Ok(())
    }

    pub fn refund(&mut self, now_ms: i64) -> Result<(), Refusal> {
        match self.state {
            State::Paid => self.close(State::Refunded, now_ms),
            State::Billed => return Err(Refusal::UnpaidNotRefundable),
            State::Voided | State::Refunded => return Err(Refusal::Closed),
        }
        Ok(())
    }

    /// The treatment is no more: whatever was asked or taken for it is given back. `false`: it was before.
    pub fn cancel(&mut self, now_ms: i64) -> bool {
        match self.state {
            State::Billed => self.close(State::Voided, now_ms),
            State::Paid => self.close(State::Refunded, now_ms),
            State::Voided | State::Refunded => return false,
        }
        true
    }

    fn close(&mut self, state: State, now_ms: i64) {
        self.state = state;
        self.canceled_at = Some(now_ms);
        self.version += 1;
    }
}
