//! `sandbox`: a strict stand-in for Pleo, until it is interrupted.

use super::arguments::SandboxOptions;
use super::exit::{Exit, Failure};
use super::{print, session};
use crate::app::signals::{Asked, Signals};
use crate::drain::Tasks;
use crate::sandbox::{self, Options};
use crate::telemetry::chain::chain;

pub(super) fn run(options: &SandboxOptions) -> Result<(), Failure> {
    let runtime = session::runtime()?;
    runtime.block_on(async {
        let tasks = Tasks::on(runtime.handle().clone());
        let mut signals = Signals::listen().map_err(|error| Failure::of(Exit::Internal, &error))?;
        let options = Options {
            listen: options.listen,
            access_ttl: options.access_ttl,
            seed: options.seed,
            requests_per_minute: Some(options.requests_per_minute).filter(|limit| *limit > 0),
            ..Options::default()
        };
        let running = sandbox::start(options, &tasks)
            .await
            .map_err(|error| Failure::new(Exit::Unavailable, chain(&error)))?;
        print::line(&format!("sandbox listening on {}", running.origin()))?;
        print::remark("client id `sandbox`, secret `sandbox-secret`; GET /_sandbox/state tells what it has seen");
        while signals.next().await != Asked::Stop {}
        tasks.stop();
        tasks.finished(std::time::Duration::from_secs(2)).await;
        Ok(())
    })
}
