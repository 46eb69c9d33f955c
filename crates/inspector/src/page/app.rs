//! What all requests share.

use std::sync::Arc;

use checkpointer::Checkpointer;
use tokio::sync::Semaphore;

use super::access::Access;
use super::forgery::FormKey;
use super::live::Live;
use super::options::Options;
use super::silence::Silence;

/// What all requests share.
pub(super) struct App {
    pub(super) checkpointer: Arc<dyn Checkpointer>,
    pub(super) access: Option<Access>,
    pub(super) form_key: FormKey,
    pub(super) turns: Arc<Semaphore>,
    pub(super) live: Live,
    pub(super) silence: Silence,
    pub(super) options: Options,
}

impl App {
    pub(super) fn new(checkpointer: Arc<dyn Checkpointer>, options: Options) -> Self {
        Self {
            checkpointer,
            access: options.token.as_ref().map(Access::new),
            form_key: FormKey::new(options.token.as_ref()),
            live: Live::new(options.viewers),
            silence: Silence::default(),
            turns: Arc::new(Semaphore::new(
                options.parallel.clamp(1, Semaphore::MAX_PERMITS),
            )),
            options,
        }
    }

    /// The page's key, if it may write.
    pub(super) fn form_key(&self) -> Option<String> {
        let may_write = self.options.allow_writes;
        may_write.then(|| self.form_key.as_str().to_owned())
    }
}
