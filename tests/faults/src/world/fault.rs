//! What a link can be told to do to the connections that pass over it.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Passes everything on at once.
    None,
    /// Everything comes later, each piece by this and up to the jitter more.
    Delay { time: Duration, jitter: Duration },
    /// Connections are refused, and those that exist are reset.
    Down,
    /// This share of the requests is never passed on: the connection is reset instead.
    ResetBefore { share: f64 },
    /// This share of the requests is passed on and never answered: the connection is reset, sometimes at once,
    /// sometimes when the answer has come.
    ResetAfter { share: f64 },
    /// This share of the requests is passed on with the end of the stream behind it.
    HalfClose { share: f64 },
    /// Nothing arrives, either way. What is on its way arrives when the link is healed, as it would by TCP.
    Blackhole,
    /// Requests arrive when the link is healed; answers pass.
    HoldRequests,
    /// Requests arrive, their answers only when the link is healed.
    HoldAnswers,
    /// So many bytes a second, either way.
    Slow { bytes_per_second: u32 },
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    ResetNow,
    /// Passed on, then the connection is reset at once.
    ResetBehind,
    /// Passed on; the connection is reset when its answer has come.
    ResetAtAnswer,
    EndBehind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From whoever made the connection.
    Request,
    Answer,
}

impl Fault {
    pub fn holds(self, direction: Direction) -> bool {
        match self {
            Self::Blackhole => true,
            Self::HoldRequests => direction == Direction::Request,
            Self::HoldAnswers => direction == Direction::Answer,
            _ => false,
        }
    }

    pub fn delay(self, random: &mut StdRng) -> Duration {
        match self {
            Self::Delay { time, jitter } => time + jitter.mul_f64(random.random::<f64>()),
            _ => Duration::ZERO,
        }
    }

    pub fn fate(self, random: &mut StdRng) -> Fate {
        let mut strikes = |share: f64| random.random::<f64>() < share;
        match self {
            Self::ResetBefore { share } if strikes(share) => Fate::ResetNow,
            Self::ResetAfter { share } if strikes(share) => {
                if strikes(0.5) {
                    Fate::ResetBehind
                } else {
                    Fate::ResetAtAnswer
                }
            }
            Self::HalfClose { share } if strikes(share) => Fate::EndBehind,
            _ => Fate::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_same_seed_decides_the_same_fates() {
        let fates = |seed| {
            let mut random = StdRng::seed_from_u64(seed);
            (0..50).map(|_| Fault::ResetAfter { share: 0.3 }.fate(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
        for fate in [Fate::Pass, Fate::ResetBehind, Fate::ResetAtAnswer] {
            assert!(fates(7).contains(&fate), "{fate:?}");
        }
    }
}
