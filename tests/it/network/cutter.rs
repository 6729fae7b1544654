//! A relay between gateways and `PostgreSQL` that cuts a link when the answer to a write comes back: the write is done, and
//! nobody hears of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

/// How a write of a row looks on the wire.
const WRITE: &[u8] = b"pleo_gateway.write(";

pub(super) struct Cutter {
    url: Url,
    counts: Arc<Counts>,
    _doors: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    wanted: AtomicU64,
    done: AtomicU64,
}

impl Cutter {
    pub(super) async fn open(url: &str) -> Self {
        let mut url = Url::parse(url).unwrap();
        let server: SocketAddr = format!("127.0.0.1:{}", url.port().unwrap())
            .parse()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        let counts = Arc::<Counts>::default();
        let mut doors = JoinSet::new();
        doors.spawn(accept(listener, server, counts.clone()));
        Self {
            url,
            counts,
            _doors: doors,
        }
    }

    pub(super) fn url(&self) -> String {
        self.url.to_string()
    }

    /// The next writes are done without a word.
    pub(super) fn cut_next(&self, writes: u64) {
        self.counts.wanted.fetch_add(writes, Ordering::SeqCst);
    }

    pub(super) fn cuts(&self) -> u64 {
        self.counts.done.load(Ordering::SeqCst)
    }
}

impl Counts {
    /// True if this write is to be one of those.
    fn take(&self) -> bool {
        let one_less = |wanted: u64| wanted.checked_sub(1);
        self.wanted
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
            .is_ok()
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, counts: Arc<Counts>) {
    let mut links = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let counts = counts.clone();
        links.spawn(async move { carry(client, server, &counts).await });
        while links.try_join_next().is_some() {}
    }
}

/// Both ways until either hangs up, or until the answer to a write that is to be cut.
async fn carry(mut client: TcpStream, server: SocketAddr, counts: &Counts) -> Option<()> {
    let mut server = TcpStream::connect(server).await.ok()?;
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    let mut cuts = false;
    loop {
        tokio::select! {
            read = client.read_buf(&mut asked) => {
                (read.ok()? > 0).then_some(())?;
                cuts |= asked.windows(WRITE.len()).any(|part| part == WRITE) && counts.take();
                server.write_all(&asked).await.ok()?;
                asked.clear();
            }
            read = server.read_buf(&mut answered) => {
                (read.ok()? > 0).then_some(())?;
                if cuts {
                    counts.done.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
                client.write_all(&answered).await.ok()?;
                answered.clear();
            }
        }
    }
}
