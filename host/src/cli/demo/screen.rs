//! The terminal: taken on opening, given back on every way out, a panic's included.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::view;

/// Between two looks whether the keyboard is still wanted.
const KEY_POLL: Duration = Duration::from_millis(100);

/// A terminal that shows the board.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    closed: Arc<AtomicBool>,
}

// === impl Screen ===

impl Screen {
    /// Takes the terminal. `q`, Esc and Ctrl-C cancel `quit`.
    pub(super) fn open(quit: CancellationToken) -> io::Result<Self> {
        // Installs a panic hook that gives the terminal back.
        let terminal = ratatui::try_init()?;
        let closed = Arc::new(AtomicBool::new(false));
        let screen = Self { terminal, closed: Arc::clone(&closed) };
        // Reading keys blocks, so it has a thread; that ends within a poll of the screen's end.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
            while !closed.load(Ordering::Relaxed) {
                if key_quits() {
                    quit.cancel();
                }
            }
        })?;
        Ok(screen)
    }

    /// Shows the board as it is.
    pub(super) fn show(&mut self, board: &Board) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(board, frame)).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        ratatui::restore();
    }
}

/// Whether a key that ends the demo was pressed, within a short time.
fn key_quits() -> bool {
    if !event::poll(KEY_POLL).unwrap_or(false) {
        return false;
    }
    let Ok(Event::Key(key)) = event::read() else { return false };
    key.kind == KeyEventKind::Press
        && (matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
            || key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL))
}
