//! Many connections in one gateway: refreshes are spread, no call fails, and what each connection costs. The rules for
//! herds are tested in `tokens::herding`.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::stand::caller::Link;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, Stand, is_long};

const WORKERS: usize = 8;

/// One call for each tenant of a share, again and again until the end. What failed.
async fn work(
    address: SocketAddr,
    share: Vec<String>,
    pause: Duration,
    end: Instant,
) -> Vec<String> {
    let mut link = Link::open(address).await;
    let mut failed = Vec::new();
    while Instant::now() < end {
        for tenant in &share {
            match link.get(tenant, READ).await {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) => failed.push(format!("{tenant} {} {:?}", answer.status, answer.body)),
                Err(error) => {
                    failed.push(error.to_string());
                    link = Link::open(address).await;
                }
            }
            sleep(pause).await;
        }
    }
    failed
}

/// Refreshes in each second until the end; where nobody looked for longer than that, their mean.
async fn refreshes(stand: &Stand, end: Instant) -> Vec<u64> {
    let mut seconds = Vec::new();
    let mut before = (Instant::now(), stand.count("refreshes"));
    while Instant::now() < end {
        sleep(Duration::from_secs(1)).await;
        let now = (Instant::now(), stand.count("refreshes"));
        let (took, came) = ((now.0 - before.0).as_secs().max(1), now.1 - before.1);
        seconds.extend((0..took).map(|nth| came / took + u64::from(nth < came % took)));
        before = now;
    }
    seconds
}

/// Resident memory in KiB.
fn resident(serving: &Serving) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", serving.pid().as_raw_nonzero())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Every row is read and its first round is over.
const SETTLED: Duration = Duration::from_secs(3);

/// CPU time in hundredths of a second.
fn ticks(serving: &Serving) -> u64 {
    let stat =
        fs::read_to_string(format!("/proc/{}/stat", serving.pid().as_raw_nonzero())).unwrap();
    let fields = stat.rsplit(')').next().unwrap();
    let times = fields.split_whitespace().skip(11).take(2);
    times.map(|time| time.parse::<u64>().unwrap()).sum()
}

fn import(stand: &Stand, lines: &[String]) {
    let began = Instant::now();
    let file = stand.home().join("pairs.jsonl");
    fs::write(&file, lines.join("\n")).unwrap();
    let words = ["connections", "import", "--allow-shared-company", "--file"];
    stand
        .run(&[&words[..], &[file.to_str().unwrap()]].concat(), "")
        .fine();
    println!("{} imported in {:?}", lines.len(), began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_ten_thousand_connections_are_refreshed_one_after_another() {
    let (many, ttl, rest) = if is_long() {
        (10_000, 180, 60)
    } else {
        (100, 80, 2)
    };
    let tenants: Vec<_> = (0..many).map(|number| format!("t{number}")).collect();
    let names: Vec<_> = tenants.iter().map(String::as_str).collect();
    let stand = Stand::new(Plan {
        access_ttl: Duration::from_secs(ttl),
        tenants: &names,
        refresh: "ahead = \"3m\"\ntimeout = \"3s\"",
        ..Plan::default()
    })
    .await;
    let lines: Vec<_> = tenants
        .iter()
        .map(|tenant| stand.line(tenant).to_string())
        .collect();
    let (few, others) = lines.split_at(lines.len() / 10);
    import(&stand, few);
    let serving = stand.serve("few").await;
    sleep(SETTLED).await;
    let memory_of_few = resident(&serving);
    assert!(serving.stop().await.success());
    import(&stand, others);
    let began = Instant::now();
    let serving = stand.serve("gateway").await;
    println!("serving {many} after {:?}", began.elapsed());
    sleep(SETTLED).await;
    let (memory, time) = (resident(&serving), ticks(&serving));
    sleep(Duration::from_secs(rest)).await;
    println!(
        "{memory} KiB resident, {memory_of_few} KiB with {}: {} bytes for each connection; {} ms of CPU in {rest} s of rest",
        few.len(),
        memory.saturating_sub(memory_of_few) * 1024 / others.len() as u64,
        (ticks(&serving) - time) * 10
    );
    let end = Instant::now() + Duration::from_secs(ttl);
    let mut workers = JoinSet::new();
    for share in tenants.chunks(tenants.len().div_ceil(WORKERS)) {
        workers.spawn(work(
            serving.callers,
            share.to_vec(),
            Duration::from_millis(5),
            end,
        ));
    }
    let seconds = refreshes(&stand, end).await;
    let failed: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    let (sum, most) = (seconds.iter().sum::<u64>(), seconds.iter().max().unwrap());
    println!("{sum} refreshes in {ttl} s, {most} in one second: {seconds:?}");
    println!("{} KiB resident", resident(&serving));
    assert!(
        failed.is_empty(),
        "{} failed: {:?}",
        failed.len(),
        &failed[..failed.len().min(3)]
    );
    assert!(sum >= many, "all are refreshed");
    assert!(most * 6 < sum, "they come one after another: {seconds:?}");
    stand.assert_no_rule_was_broken();
}
