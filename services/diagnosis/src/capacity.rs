//! Places are counted inside the database, so that several replicas cannot give the same one away.

use chassis::{DbError, Tx};

use crate::config::Clinic;
use crate::date::VisitDate;
use crate::store;

/// Why the clinic cannot treat then, if it has more visits than places. The visit in question is counted: it is
/// written already.
pub async fn lacking_in_tx(tx: &mut Tx, clinic: &Clinic, date: &VisitDate) -> Result<Option<String>, DbError> {
    // Always the day before the hour, so that no two transactions wait for each other.
    if clinic.capacity_per_day > 0
        && let Some(day) = date.day()
    {
        store::lock_slot_in_tx(tx, &day).await?;
        if store::count_day_in_tx(tx, &day).await? > i64::from(clinic.capacity_per_day) {
            return Ok(Some(format!("The clinic has no place left on {day}.")));
        }
    }
    if clinic.capacity_per_hour > 0
        && let Some(hour) = date.hour()
    {
        store::lock_slot_in_tx(tx, &hour).await?;
        if store::count_hour_in_tx(tx, &hour).await? > i64::from(clinic.capacity_per_hour) {
            return Ok(Some(format!("The clinic has no place left at {}.", date.text)));
        }
    }
    Ok(None)
}
