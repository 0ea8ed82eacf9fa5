//! The delivery of notifications to one destination.

use std::borrow::Cow;

use crate::notify::Delivery;
use crate::supervisor::{Task, TaskContext, TaskError};

impl Task for Delivery {
    const NAME: &'static str = "notify";

    fn name(&self) -> Cow<'static, str> {
        Cow::Owned(format!("{} {}", Self::NAME, self.destination()))
    }

    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        Delivery::run(self.clone(), ctx.shutdown.clone()).await;
        Ok(())
    }
}
