//! The synchronous call: can the clinic treat then?

use chassis::client::{Answer, CallError, Client, ClientSettings, Credentials, Leave};
use chassis::http::problem::ProblemBody;
use chassis::{SettingError, http::problem};
use contracts::visits::{CANCELED, VisitChange, VisitRequest};
use reqwest::{Method, StatusCode};
use serde::Serialize;

use crate::domain::Reservation;

#[derive(Clone)]
pub struct Diagnosis {
    client: Client,
}

/// What is known after asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Durably held.
    Accepted,
    /// The clinic cannot, and why.
    Refused(String),
    /// The reservation was cancelled before the question arrived.
    Canceled,
    /// Certainly nothing was done.
    NotDone,
    /// It may be held, or not.
    Unknown,
}

impl Verdict {
    /// That nothing was done is true of the question asked then, but not if the reconciler has asked meanwhile.
    pub fn unless_asked_again(self, asked: &Reservation, now: &Reservation) -> Self {
        match self {
            Self::NotDone if asked.settle_after != now.settle_after => Self::Unknown,
            verdict => verdict,
        }
    }
}

impl Diagnosis {
    pub fn new(settings: ClientSettings, credentials: Option<Credentials>) -> Result<Self, SettingError> {
        Ok(Self { client: Client::new("diagnosis", settings, credentials)? })
    }

    /// Leave to ask once. Without it the question is known to be in vain, and nothing need be written down for it.
    pub fn leave(&self) -> Result<Leave, CallError> {
        self.client.leave()
    }

    pub async fn hold_visit(&self, leave: Result<Leave, CallError>, reservation: &Reservation) -> Verdict {
        let request = VisitRequest {
            reservation_id: Some(reservation.id),
            reservation_date: Some(reservation.details.date.clone()),
            customer_id: Some(reservation.customer_id.clone()),
            ..VisitRequest::default()
        };
        ask(leave, Method::POST, "/medicalRecords", &request).await
    }

    pub async fn hold_other_date(&self, id: i64, date: &str, change_number: i64) -> Verdict {
        let request = VisitChange { reservation_date: date.to_owned(), change_number };
        ask(self.leave(), Method::PUT, &format!("/visits/{id}"), &request).await
    }
}

async fn ask(leave: Result<Leave, CallError>, method: Method, path: &str, request: &impl Serialize) -> Verdict {
    let answer = match leave {
        Ok(leave) => leave.send_idempotent(method, path, request).await,
        Err(refused) => Err(refused),
    };
    match answer {
        Ok(answer) => verdict(&answer),
        Err(CallError::NotDone(reason)) => {
            tracing::warn!(reason, "diagnosis cannot be asked");
            Verdict::NotDone
        }
        Err(CallError::Unknown(reason)) => {
            tracing::warn!(reason, "diagnosis has not answered; the reconciler asks again");
            Verdict::Unknown
        }
    }
}

fn verdict(answer: &Answer) -> Verdict {
    if answer.status.is_success() {
        return Verdict::Accepted;
    }
    let is_judged =
        !matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
    let body: Option<ProblemBody> =
        if answer.is_problem && is_judged { serde_json::from_slice(&answer.body).ok() } else { None };
    let Some(body) = body else {
        tracing::error!(
            http.response.status_code = answer.status.as_u16(),
            "diagnosis does not judge what we ask: check the settings diagnosis and credentials"
        );
        // This try was not heard, but one before it may have been.
        return if answer.follows_silence { Verdict::Unknown } else { Verdict::NotDone };
    };
    if body.kind == problem::kind(CANCELED) {
        return Verdict::Canceled;
    }
    Verdict::Refused(body.detail.unwrap_or_else(|| body.title.into_owned()))
}
