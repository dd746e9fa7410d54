//! Other settings of a plugin on their way to serve. A config is applied as a whole or not at all: what it
//! wants of a plugin is tried first, and swapped when all of it can be applied.

use tokio::sync::oneshot;

use super::outcome::Outcome;

/// A plugin's other settings, from the side that asks for them. Dropped before it is told to
/// [swap](Self::swap), nothing comes of it.
#[derive(Debug)]
pub struct Alteration {
    plugin: String,
    fit: oneshot::Receiver<String>,
    go: oneshot::Sender<oneshot::Sender<()>>,
    ended: oneshot::Receiver<Outcome>,
}

/// A plugin that serves with other settings, in probation.
#[derive(Debug)]
pub struct Serving {
    plugin: String,
    ended: oneshot::Receiver<Outcome>,
}

/// The same from the side that tries them.
pub(super) struct Gate {
    fit: oneshot::Sender<String>,
    go: oneshot::Receiver<oneshot::Sender<()>>,
}

/// That they may serve; whoever waits for it hears that they do when this is dropped.
pub(super) struct Passed {
    _serves: Option<oneshot::Sender<()>>,
}

impl Alteration {
    /// An alteration of that plugin; its gate; and who is told of the end.
    pub(super) fn of(plugin: String) -> (Self, Gate, oneshot::Sender<Outcome>) {
        let (fit, is_fit) = oneshot::channel();
        let (go, goes) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        (Self { plugin, fit: is_fit, go, ended }, Gate { fit, go: goes }, end)
    }

    /// The plugin's name.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Waits until it was tried; what with.
    ///
    /// # Errors
    /// Why it isn't fit to serve.
    pub async fn tried(&mut self) -> Result<String, String> {
        if let Ok(tested) = (&mut self.fit).await {
            return Ok(tested);
        }
        let ended = (&mut self.ended).await;
        Err(ended.map_or_else(|_| "the host stops".to_owned(), |end| end.text().to_owned()))
    }

    /// Has it serve, and waits until it does.
    pub async fn swap(self) -> Serving {
        let (serves, served) = oneshot::channel();
        if self.go.send(serves).is_ok() {
            // What is told is that the other end is gone.
            let _served = served.await;
        }
        Serving { plugin: self.plugin, ended: self.ended }
    }
}

impl Serving {
    /// The plugin's name.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Waits for the end of its probation; none where the host stops meanwhile.
    pub async fn ended(self) -> Option<Outcome> {
        self.ended.await.ok()
    }
}

impl Gate {
    /// Says that they are fit, and waits for the word. None: they aren't wanted any more.
    pub(super) async fn pass(self, tested: &str) -> Option<Passed> {
        self.fit.send(tested.to_owned()).ok()?;
        Some(Passed { _serves: Some(self.go.await.ok()?) })
    }
}

impl Passed {
    /// Where nobody has to be asked.
    pub(super) const fn freely() -> Self {
        Self { _serves: None }
    }
}
