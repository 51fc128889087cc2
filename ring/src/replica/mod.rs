//! Replicated state machines, and the state transfer below them.
//!
//! A [`StateMachine`] is deterministic; a [`Replica`] is a [`Layer`](crate::layer::Layer) that feeds it one
//! log of commands and views, the same at every member, however members crash, part and meet. [`map`]
//! and [`lock`] are examples. A machine of one's own:
//!
//! ```
//! use roundel_ring::replica::{Context, RestoreError, StateMachine};
//!
//! #[derive(Default)]
//! struct Sum(u64);
//!
//! impl StateMachine for Sum {
//!     type Output = u64;
//!
//!     fn apply(&mut self, _: &Context<'_>, command: &[u8]) -> u64 {
//!         self.0 += command.iter().copied().map(u64::from).sum::<u64>();
//!         self.0
//!     }
//!
//!     fn snapshot(&self, out: &mut Vec<u8>) {
//!         out.extend_from_slice(&self.0.to_le_bytes());
//!     }
//!
//!     fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
//!         let cause = "a sum is eight bytes";
//!         let bytes = snapshot.try_into().map_err(|_| RestoreError { cause })?;
//!         self.0 = u64::from_le_bytes(bytes);
//!         Ok(())
//!     }
//! }
//!
//! // Here on a ring of one, by hand: what it has ordered comes back to it.
//! # use bytes::Bytes;
//! # use roundel_ring::configuration::{Configuration, ConfigurationKind};
//! # use roundel_ring::delivery::Message;
//! # use roundel_ring::id::{Epoch, MessageId, NodeId, RingId};
//! # use roundel_ring::layer::{Layer, StreamEvent};
//! # use roundel_ring::replica::{Event, Options, Progress, Replica};
//! # use roundel_ring::seq::Ordinal;
//! # use roundel_ring::time::Time;
//! # let (me, ring) = (NodeId(1), RingId::new(Epoch(1), NodeId(1)));
//! # let (kind, in_configuration) = (ConfigurationKind::Regular, ConfigurationKind::Regular);
//! # let members = [me].into();
//! # let alone = Configuration { kind, ring, previous: None, members, eligible: None };
//! let mut replica = Replica::new(Sum::default(), Options::new(Progress::Always));
//! replica.handle_start(Time::ZERO, me, Epoch(1));
//! replica.handle_event(Time::ZERO, StreamEvent::Configuration(&alone));
//! # let round = |replica: &mut Replica<Sum>| {
//! #     while let Some(publication) = replica.poll_publish() {
//! #         let message = Message {
//! #             id: MessageId { sender: me, incarnation: Epoch(1), counter: 1 },
//! #             ring, ordinal: Some(Ordinal(1)), in_configuration,
//! #             service: publication.class.service, channel: publication.class.channel,
//! #             payload: publication.payload,
//! #         };
//! #         replica.handle_event(Time::ZERO, StreamEvent::Message(message.as_ref()));
//! #     }
//! # };
//! round(&mut replica);
//! let request = replica.submit(Bytes::from_static(&[40, 2])).unwrap();
//! round(&mut replica);
//! while let Some(event) = replica.poll_event() {
//!     if let Event::Applied { request: answered, output, .. } = event {
//!         assert_eq!((answered, output), (request, 42));
//!     }
//! }
//! assert_eq!(replica.machine().0, 42);
//! ```
//!
//! # How it goes
//!
//! All messages of replicas are safe, on [`Channel::REPLICA`](crate::service::Channel::REPLICA). In each regular
//! configuration every member publishes its *status*: the position where its log ends (lineage: the
//! configuration of the last decision it went through; index; digest of all entries), how much of that
//! is applied, and what checkpoints it fetches or keeps. With the last status delivered, each
//! concludes the same *decision* (`decide`): whether this configuration goes on, from which log, who holds
//! it (*synced*) and who joins. That place in the order is the *instant*: the synced make a checkpoint of
//! it if anybody joins. A joiner pulls it in chunks by letters, from the lowest donor first, from the next
//! after some silence; it keeps the entries since, restores, replays, and has its *synced* ordered. Who
//! has too many entries to keep has *again* ordered, and that place is its new instant.
//!
//! A donor's crash is a configuration change. A joiner that followed the log from its instant on knows
//! where that log ends; if the next decision goes on from there and a holder still has the checkpoint,
//! the joiner goes on fetching where it was, from that one. Donors keep a checkpoint until nobody
//! fetches it; two at most.
//!
//! Commands (and views) have a place in the log from where enough hold the state
//! ([`Progress`]): at the decision, or at somebody's *synced*. Ordered before that, a command is nobody's;
//! its submitter has it ordered again.
//!
//! # Why there is one log
//!
//! For [`Progress::Majority`]; n is the size of the set. An entry is *committed* when anybody applies it.
//!
//! 1. It is applied only when delivered in a *regular* configuration R in which the last status was
//!    delivered before it, also in R, and members that hold the state and are more than n/2 of the set are
//!    synced there (their set: Y). Tails from transitional configurations are applied at such a place, too.
//! 2. All of that is safe. So every member of R delivers it, and all before it, in the same
//!    order, in R or in its transitional configuration, unless it crashes (EVS 6, 7.1, 7.2). There it goes
//!    to the *tail*: kept, counted in the position, not applied, since a hole may make the rest of two
//!    transitional configurations differ. A member that installed a configuration alone and died out
//!    (the trap of EVS §2.2) has therefore applied nothing in it.
//! 3. A later decision needs the statuses of more than n/2 members of the set that *hold* a state. A
//!    restarted member does not, until it has got one; so one of them is in Y and has held its state since (or
//!    got it from a later decision: induction over configurations, which every member installs in ascending
//!    order). Its log has the entry, and its lineage is R or later. The decision takes the greatest lineage, so
//!    a log that has the entry. Logs of one lineage all have what is committed in it (2); which of
//!    their tails wins does not matter, it only must be the same everywhere, and the digest sees to that.
//! 4. So each decision continues all that is committed, and no two members apply different entries at
//!    one index; an answer is given by applying, so it stays true as long as (3) holds: until more than half
//!    of the set have crashed without getting the state again in between. Then all of the set must be there,
//!    and the best of what survived counts.
//!
//! Where only a minority of the set is synced, the tail is applied up to where somebody has applied it
//! already, no further, and what is left goes into the checkpoint as entries.
//!
//! A request is applied once though it is ordered again: the state has, for each member, the number of
//! its next request (`sessions`).
//!
//! # In the primary component
//!
//! [`Progress::Primary`] asks of holders and synced members the quorum of the primary's policy instead of
//! n/2, any two of which share a member; so the proof is the same. Entries have their places as before,
//! from the decision on, since that must not depend on where in the order somebody was cut off. They are
//! applied only from the confirmation on, which is a place in the order of the regular configuration, too;
//! what it never reaches stays in the tail, as what comes in a transitional configuration does.
//!
//! # Where another rule of progress goes in
//!
//! [`Progress`] answers five questions: which log is newest, who may begin one, whether a configuration
//! may go on with these holders, whether enough are synced, whether it must be the primary component.

mod checkpoint;
mod decide;
mod entry;
mod event;
mod fetch;
mod letters;
pub mod lock;
mod log;
mod machine;
pub mod map;
mod message;
mod options;
mod position;
mod progress;
mod reader;
#[expect(clippy::module_inception, reason = "the layer is what the module is named for")]
mod replica;
mod requests;
mod sessions;
mod state;
mod stream;
mod transfer;

pub use event::{Event, ReplicaCounters, Standing};
pub use machine::{Context, RestoreError, StateMachine, View};
pub use options::Options;
pub use progress::Progress;
pub use reader::{Reader, put_bytes};
pub use replica::Replica;
pub use requests::{Lost, RequestId, SubmitError};
