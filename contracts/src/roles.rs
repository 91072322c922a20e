//! Who a token can be for.

/// An animal's owner: sees and changes only what is his own.
pub const CUSTOMER: &str = "customer";
/// The front desk: reservations and payments of everyone.
pub const DESK: &str = "desk";
/// A veterinarian: medical records.
pub const VET: &str = "vet";
/// Everything.
pub const ADMIN: &str = "admin";
/// One of the fleet's own services.
pub const SERVICE: &str = "service";
