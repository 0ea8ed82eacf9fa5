//! The HTTP server for `/metrics`, `/healthz` and `/readyz`.

use std::net::SocketAddr;

use crate::health::Health;
use crate::metrics;
use crate::supervisor::{Task, TaskContext, TaskError};

pub(crate) struct MetricsServer {
    pub(crate) address: SocketAddr,
    /// The health of all tasks, which `/readyz` reports.
    pub(crate) health: Health,
}

impl Task for MetricsServer {
    const NAME: &'static str = "metrics";

    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        let (metrics, shutdown) = (ctx.metrics.clone(), ctx.shutdown.clone());
        metrics::serve(self.address, metrics, self.health.clone(), shutdown).await;
        Ok(())
    }
}
