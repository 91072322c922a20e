//! Clients that hold connections and send nothing, or a byte at a time: the rest of the traffic does not notice.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Trouble;
use crate::client::{Question, Target};
use crate::figures::{Figure, Figures, ms};
use crate::fleet::Fleet;
use crate::load::{self, Tally, quantile};
use crate::overload::healthy;
use crate::probes::Probes;

const SLOW: u32 = 500;
const IDLE: u32 = 5_000;
/// Less than the time after which the gateway closes them. That all come at one moment would be something else.
const ARRIVE_WITHIN: Duration = Duration::from_secs(5);
/// What the others send meanwhile, a second.
const READS_PER_SECOND: f64 = 100.0;
const RESERVED_PER_SECOND: f64 = 20.0;
const MEASURED: Duration = Duration::from_secs(12);

pub async fn slow_senders() -> Result<Vec<Figure>, Trouble> {
    compare("slow-senders", async |target| arrive(SLOW, |number| keeps_coming_slowly(target.clone(), number)).await)
        .await
}

pub async fn idle() -> Result<Vec<Figure>, Trouble> {
    compare("idle-connections", async |target| arrive(IDLE, |_| keeps_coming_idle(target.clone())).await).await
}

/// So many of them, one after the other.
async fn arrive<F>(count: u32, one: impl Fn(u32) -> F) -> JoinSet<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut all = JoinSet::new();
    for number in 0..count {
        let (turn, one) = (ARRIVE_WITHIN.mul_f64(f64::from(number) / f64::from(count)), one(number));
        all.spawn(async move {
            sleep(turn).await;
            one.await;
        });
    }
    sleep(ARRIVE_WITHIN).await;
    all
}

/// The same traffic without and with the trouble.
async fn compare(
    scenario: &'static str,
    trouble: impl AsyncFnOnce(Target) -> JoinSet<()>,
) -> Result<Vec<Figure>, Trouble> {
    let fleet = Fleet::start(&[]).await?;
    let target = fleet.target()?;
    let (calm_reads, calm_reserved) = traffic(&target).await;
    let probes = Probes::start(&fleet);
    let troublesome = trouble(target.clone()).await;
    let (reads, reserved) = traffic(&target).await;
    let mut figures = Figures::of(scenario);
    figures.told("connections held", troublesome.len() as f64, "");
    for (name, before, now) in [("read", &calm_reads, &reads), ("reserve", &calm_reserved, &reserved)] {
        for (which, share) in [("p50", 0.5), ("p99", 0.99)] {
            let (before, now) = (ms(quantile(&before.admitted, share)), ms(quantile(&now.admitted, share)));
            figures.at_most(&format!("{name} {which}"), now, "ms", 2.0 * before);
        }
        figures.at_most(&format!("{name} failed"), (now.all() - now.admitted.len()) as f64, "", 0.0);
    }
    healthy(&mut figures, &fleet, probes)?;
    Ok(figures.all)
}

async fn traffic(target: &Target) -> (Tally, Tally) {
    let read = || Question::get("/reservationStats?size=5");
    tokio::join!(
        load::open(target, READS_PER_SECOND, MEASURED, read),
        load::open(target, RESERVED_PER_SECOND, MEASURED, Question::reserve),
    )
}

/// A third each: a head without an end, a head a byte at a time, a body a byte at a time.
async fn keeps_coming_slowly(target: Target, number: u32) {
    let head = format!("POST /reservations HTTP/1.1\r\nHost: {}\r\n", target.address);
    let authorized = format!("{head}Authorization: Bearer {}\r\nContent-Length: 100\r\n\r\n", target.token);
    let (at_once, slowly) = match number % 3 {
        0 => (head, String::new()),
        1 => (String::new(), head.repeat(10)),
        _ => (authorized, "x".repeat(100)),
    };
    loop {
        if let Ok(mut stream) = TcpStream::connect(&target.address).await
            && stream.write_all(at_once.as_bytes()).await.is_ok()
        {
            for byte in slowly.as_bytes() {
                sleep(Duration::from_millis(200)).await;
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            until_closed(stream).await;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn keeps_coming_idle(target: Target) {
    loop {
        if let Ok(stream) = TcpStream::connect(&target.address).await {
            until_closed(stream).await;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn until_closed(mut stream: TcpStream) {
    let mut buffer = [0; 256];
    while matches!(stream.read(&mut buffer).await, Ok(read) if read > 0) {}
}
