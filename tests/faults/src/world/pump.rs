//! One connection over a link: bytes both ways, and what the link's fault does to them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::fault::{Direction, Fate, Fault};
use super::link::Link;

const PIECE: usize = 16 * 1024;
/// How often a slow link passes something on.
const TICK: Duration = Duration::from_millis(50);
/// By which the end of a stream that was held comes later than what was before it: it was lost as well, and TCP repeats
/// it for itself. A server that reads both at once drops the request as one that nobody waits for.
const END_BEHIND: Duration = Duration::from_millis(500);

/// How the two directions know of each other.
#[derive(Default)]
struct Turn {
    /// The last word was an answer's, so that what comes next is a new request.
    is_answered: AtomicBool,
    resets_at_answer: AtomicBool,
}

#[derive(PartialEq, Eq)]
enum End {
    InOrder,
    Cut,
    Silent,
}

/// Passes bytes on until both ends have ended, or until the link's fault cuts the connection.
pub async fn pass_on(link: &Link, mut near: TcpStream, mut far: TcpStream) {
    if near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).is_err() {
        return;
    }
    let end = {
        let (near_reads, near_writes) = near.split();
        let (far_reads, far_writes) = far.split();
        let turn = Turn { is_answered: AtomicBool::new(true), ..Turn::default() };
        let (mut fault, mut silenced) = (link.watch(), link.silenced());
        let both_ways = async {
            tokio::try_join!(
                pump(link, Direction::Request, &turn, near_reads, far_writes),
                pump(link, Direction::Answer, &turn, far_reads, near_writes),
            )
        };
        tokio::select! {
            ended = both_ways => if ended.is_ok() { End::InOrder } else { End::Cut },
            _ = fault.wait_for(|fault| *fault == Fault::Down) => End::Cut,
            _ = silenced.changed() => End::Silent,
        }
    };
    if end == End::InOrder {
        return;
    }
    reset(&far);
    if end == End::Silent {
        drop(far);
        return keep_silent(near).await;
    }
    reset(&near);
}

/// Until whoever made the connection gives it up.
async fn keep_silent(mut near: TcpStream) {
    let mut unheard = vec![0; PIECE];
    while !matches!(near.read(&mut unheard).await, Ok(0) | Err(_)) {}
}

/// The end of this connection comes as a reset. One that has gone already needs none.
pub fn reset(stream: &TcpStream) {
    // It fails where the other end has reset it first.
    drop(stream.set_zero_linger());
}

async fn pump(
    link: &Link,
    direction: Direction,
    turn: &Turn,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
) -> io::Result<()> {
    let mut fault = link.watch();
    let mut piece = vec![0; PIECE];
    let mut was_held = false;
    loop {
        let length = from.read(&mut piece).await?;
        was_held |= until_open(&mut fault, direction).await?;
        let now = *fault.borrow();
        let delay = link.delay(now);
        // Even the shortest sleep takes a millisecond or two, on every way of every statement.
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if length == 0 {
            if was_held {
                tokio::time::sleep(END_BEHIND).await;
            }
            return to.shutdown().await;
        }
        let fate = match direction {
            Direction::Request if turn.is_answered.swap(false, Ordering::Relaxed) => link.fate(now),
            Direction::Request => Fate::Pass,
            Direction::Answer => {
                turn.is_answered.store(true, Ordering::Relaxed);
                if turn.resets_at_answer.load(Ordering::Relaxed) { Fate::ResetNow } else { Fate::Pass }
            }
        };
        if fate == Fate::ResetNow {
            return Err(cut());
        }
        if fate == Fate::ResetAtAnswer {
            turn.resets_at_answer.store(true, Ordering::Relaxed);
        }
        write(now, &mut to, &piece[..length]).await?;
        match fate {
            Fate::ResetBehind => return Err(cut()),
            Fate::EndBehind => return to.shutdown().await,
            Fate::Pass | Fate::ResetNow | Fate::ResetAtAnswer => {}
        }
    }
}

fn cut() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

/// Whether it had to wait.
async fn until_open(fault: &mut watch::Receiver<Fault>, direction: Direction) -> io::Result<bool> {
    let is_held = fault.borrow().holds(direction);
    fault.wait_for(|fault| !fault.holds(direction)).await.map_err(|_| cut())?;
    Ok(is_held)
}

async fn write(fault: Fault, to: &mut WriteHalf<'_>, bytes: &[u8]) -> io::Result<()> {
    let Fault::Slow { bytes_per_second } = fault else { return to.write_all(bytes).await };
    let portion = (f64::from(bytes_per_second) * TICK.as_secs_f64()).max(1.0) as usize;
    for portion in bytes.chunks(portion) {
        to.write_all(portion).await?;
        tokio::time::sleep(TICK).await;
    }
    Ok(())
}
