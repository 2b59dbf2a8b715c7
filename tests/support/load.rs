//! A steady stream of questions, each reply judged.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use super::wire::{Ask, Reply};

/// A reply that is not there by then is lost, since resolvers do not wait longer.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Sockets that ask in turn. The kernel keeps some 160 replies for each, so that the stream bears
/// that its own thread gets no turn for seconds, and all workers of the server are asked.
const SOCKETS: usize = 32;

/// Rest between two looks at sockets that had nothing.
const REST: Duration = Duration::from_millis(1);

/// Complaints kept for the report; more are only counted.
const KEPT: usize = 20;

/// Says what is wrong with a reply, given the mark taken when its question was asked.
pub(crate) type Judge = Box<dyn Fn(&Reply, u64) -> Result<(), String> + Send + Sync>;

/// A question and the judge of its replies.
pub(crate) struct Question {
    /// What is asked.
    pub(crate) ask: Ask,
    /// What is made of the reply.
    pub(crate) judge: Judge,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Questions asked.
    pub(crate) asked: u64,
    /// Questions without a reply.
    pub(crate) lost: u64,
    /// Replies that the judge refused.
    pub(crate) wrong: u64,
    /// Some of the reasons.
    pub(crate) complaints: Vec<String>,
}

/// A stream under way.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: [JoinHandle<()>; 2],
}

/// What the sending and the receiving thread both touch.
struct Shared {
    questions: Vec<Question>,
    stop: AtomicBool,
    outcome: Mutex<Outcome>,
    pending: Mutex<HashMap<u16, Pending>>,
}

/// A question under way: its index, its mark, and when it was sent.
struct Pending {
    question: usize,
    mark: u64,
    sent: Instant,
}

impl Load {
    /// Asks the questions in turn, `rate` a second. `mark` is read at each sending and given to
    /// the judge with the reply.
    pub(crate) fn start(
        server: SocketAddr,
        rate: u32,
        questions: Vec<Question>,
        mark: impl Fn() -> u64 + Send + 'static,
    ) -> Self {
        let socket = || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.connect(server).expect("a connected socket");
            socket.set_nonblocking(true).expect("a socket that does not wait");
            socket
        };
        let sending: Vec<UdpSocket> = (0..SOCKETS).map(|_| socket()).collect();
        let twin = |socket: &UdpSocket| socket.try_clone().expect("a second handle");
        let receiving: Vec<UdpSocket> = sending.iter().map(twin).collect();
        let shared = Arc::new(Shared {
            questions,
            stop: AtomicBool::new(false),
            outcome: Mutex::default(),
            pending: Mutex::default(),
        });
        let (sender, receiver) = (shared.clone(), shared.clone());
        let threads = [
            spawn(move || sender.send_all(&sending, Duration::from_secs(1) / rate, mark)),
            spawn(move || receiver.receive_all(&receiving)),
        ];
        Self { shared, threads }
    }

    /// Ends the stream, waits for the last replies, and counts.
    pub(crate) fn finish(self) -> Outcome {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no panic");
        }
        let mut outcome = std::mem::take(&mut *self.shared.outcome());
        outcome.lost += self.shared.pending().len() as u64;
        outcome
    }
}

impl Shared {
    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().expect("no panic")
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<u16, Pending>> {
        self.pending.lock().expect("no panic")
    }

    fn send_all(&self, sockets: &[UdpSocket], gap: Duration, mark: impl Fn() -> u64) {
        let mut due = Instant::now();
        let questions = (0..self.questions.len()).cycle();
        for ((number, question), socket) in (0u64..).zip(questions).zip(sockets.iter().cycle()) {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            // Ids come round after half a minute at 2,000 a second; what is pending then is lost.
            let id = (number % 65_536) as u16;
            let sent = Pending { question, mark: mark(), sent: Instant::now() };
            let lost = self.pending().insert(id, sent).is_some();
            let mut outcome = self.outcome();
            outcome.asked += 1;
            outcome.lost += u64::from(lost);
            drop(outcome);
            socket.send(&self.questions[question].ask.encode(id)).expect("a sent question");
            due += gap;
            sleep(due.saturating_duration_since(Instant::now()));
        }
    }

    fn receive_all(&self, sockets: &[UdpSocket]) {
        let mut end = None;
        while end.is_none_or(|end| Instant::now() < end) {
            if self.stop.load(Ordering::Relaxed) {
                if self.pending().is_empty() {
                    return;
                }
                end = end.or_else(|| Some(Instant::now() + LOST_AFTER));
            }
            let received: usize = sockets.iter().map(|socket| self.receive(socket)).sum();
            if received == 0 {
                sleep(REST);
            }
        }
    }

    /// Judges the replies that are there, and says how many.
    fn receive(&self, socket: &UdpSocket) -> usize {
        let mut buffer = [0; 4096];
        let mut count = 0;
        while let Ok(length) = socket.recv(&mut buffer) {
            count += 1;
            if let Err(complaint) = self.judge(&buffer[..length]) {
                self.outcome().complain(complaint);
            }
        }
        count
    }

    fn judge(&self, message: &[u8]) -> Result<(), String> {
        let reply = Reply::decode(message)?;
        let Some(asked) = self.pending().remove(&reply.id) else {
            return Err(format!("an unasked or second reply: {reply:?}"));
        };
        let question = &self.questions[asked.question];
        let waited = asked.sent.elapsed();
        if waited > LOST_AFTER {
            return Err(format!("{:?} was answered after {waited:?}", question.ask));
        }
        (question.judge)(&reply, asked.mark).map_err(|what| format!("{:?}: {what}", question.ask))
    }
}

impl Outcome {
    fn complain(&mut self, complaint: String) {
        self.wrong += 1;
        if self.complaints.len() < KEPT {
            self.complaints.push(complaint);
        }
    }

    /// Fails the test unless all replies came and all were right.
    #[track_caller]
    pub(crate) fn assert_clean(&self, least: u64) {
        assert!(self.asked >= least, "only {} questions were asked, not {least}", self.asked);
        assert_eq!((self.lost, self.wrong), (0, 0), "lost and wrong: {self:#?}");
    }
}
