//! Walks through all ledgers at once, and asks again for what differs until it has come to rest.

use chassis::Clock;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::compare::{Account, differences};
use crate::ledger::{Ledgers, Unavailable};
use crate::report::{Difference, Report};
use crate::{Asked, Config};

/// That differ and are asked for again; beyond it the rest is left for another time.
const MOST: usize = 10_000;
const AT_ONCE: usize = 8;

pub async fn compare(config: Config, asked: &Asked) -> Result<Report, Unavailable> {
    let (ledgers, clock) = (Ledgers::new(config), Clock::system());
    let (mut report, mut doubtful) = (Report::default(), Vec::new());
    let mut shelves = ledgers.shelves(asked.since);
    while let Some((id, account)) = shelves.next().await? {
        report.compared += 1;
        report.given_up += account.notices.as_ref().map_or(0, |notices| notices.given_up);
        if differences(&account, clock.now_ms()).is_empty() {
            continue;
        }
        doubtful.push((id, account));
        if doubtful.len() == MOST {
            report.stopped_at = Some(id);
            break;
        }
    }
    for _ in 0..asked.rounds {
        if doubtful.is_empty() {
            break;
        }
        tokio::time::sleep(asked.settle).await;
        doubtful = judge(&ledgers, &clock, doubtful, &mut report).await?;
    }
    report.unsettled = doubtful.into_iter().map(|(id, _)| id).collect();
    report.differences.sort_by_key(|difference| difference.reservation_id);
    Ok(report)
}

/// Asks again for each; those that still differ and have moved meanwhile are left.
async fn judge(
    ledgers: &Ledgers,
    clock: &Clock,
    doubtful: Vec<(i64, Account)>,
    report: &mut Report,
) -> Result<Vec<(i64, Account)>, Unavailable> {
    let asked_again = stream::iter(doubtful)
        .map(async |(id, before)| Ok::<_, Unavailable>((id, before, ledgers.account(id).await?)))
        .buffered(AT_ONCE);
    let asked_again: Vec<_> = asked_again.try_collect().await?;
    let mut left = Vec::new();
    for (id, before, now) in asked_again {
        let found = differences(&now, clock.now_ms());
        if !found.is_empty() && now != before {
            left.push((id, now));
            continue;
        }
        report.differences.extend(found.into_iter().map(|what| Difference { reservation_id: id, what }));
    }
    Ok(left)
}
