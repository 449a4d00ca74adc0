//! The ways between processes: connections to the broker, and datagrams.

use super::driver::Link;
use super::{Event, Work, World};
use crate::broker::{ConnId, Op, Sent};
use crate::clock::{MS, S, nanos};
use crate::container::Kind;
use planaria_core::id::MemberName;
use planaria_core::input::Input;
use planaria_core::message::Envelope;

/// How long a client waits for the broker's handshake.
const HANDSHAKE_PATIENCE: u64 = 2 * S;

impl World {
    /// A client writes to its connection.
    pub(crate) fn tell_connection(&mut self, op: Op) {
        let delay = self.draw(MS / 10, MS) + self.broker_delay();
        let now = self.now;
        let Some(conn) = self.broker.conns.get_mut(&op.conn()) else {
            return;
        };
        conn.last_in = conn.last_in.max(now + delay);
        let at = conn.last_in;
        self.at(at, Event::ToBroker(op));
    }

    fn broker_delay(&mut self) -> u64 {
        match self.broker.slow {
            0 => 0,
            slow => self.draw(0, slow),
        }
    }

    pub(crate) fn reaches_broker(&mut self, op: Op) {
        let hung = self.broker_hung();
        let Some(conn) = self.broker.conns.get_mut(&op.conn()) else {
            return;
        };
        if conn.cut {
            conn.held_in.push(op);
        } else if hung {
            self.broker.held.push(op);
        } else {
            let sent = self.broker.apply(op);
            self.deliver_all(sent);
        }
    }

    /// What the broker sends, in order, to each client.
    pub(crate) fn deliver_all(&mut self, sent: Sent) {
        for (conn, input) in sent {
            if let Some(client) = self.broker.conns.get_mut(&conn)
                && client.cut
            {
                client.held_out.push(input);
                continue;
            }
            self.deliver(conn, input);
        }
    }

    fn deliver(&mut self, conn: ConnId, input: Input) {
        if self.swallowed(conn, &input) {
            return;
        }
        let delay = self.draw(MS / 10, MS) + self.broker_delay();
        let now = self.now;
        let Some(client) = self.broker.conns.get_mut(&conn) else {
            return;
        };
        client.last_out = client.last_out.max(now + delay);
        let (at, (proc, life)) = (client.last_out, client.owner);
        self.at(
            at,
            Event::Work {
                proc,
                life,
                work: Work::FromBroker(conn, Box::new(input)),
            },
        );
    }

    /// The broker's container, if there is one.
    pub(crate) fn broker_index(&self) -> Option<usize> {
        self.conts
            .iter()
            .position(|cont| cont.kind == Kind::Broker && !cont.removed)
    }

    pub(crate) fn broker_hung(&self) -> bool {
        self.broker.wedged
            || self
                .broker_index()
                .is_some_and(|index| self.conts[index].freeze != 0)
    }

    /// The broker's process is gone: every client gets a reset.
    pub(crate) fn broker_dies(&mut self) {
        let clients: Vec<_> = self
            .broker
            .conns
            .iter()
            .map(|(conn, client)| (*conn, client.owner))
            .collect();
        self.broker.die();
        for (conn, (proc, life)) in clients {
            let delay = self.draw(MS, 5 * MS);
            self.after(
                delay,
                Event::Work {
                    proc,
                    life,
                    work: Work::LinkDown(conn, "connection reset"),
                },
            );
        }
    }

    /// The broker stops answering: clients lose patience after two heartbeats.
    pub(crate) fn broker_freezes(&mut self) {
        let clients: Vec<_> = self
            .broker
            .conns
            .iter()
            .map(|(conn, client)| (*conn, client.owner))
            .collect();
        for (conn, owner) in clients {
            self.lose_patience(conn, owner);
        }
    }

    fn lose_patience(&mut self, conn: ConnId, (proc, life): (usize, u64)) {
        let heartbeat = nanos(self.stage.settings.amqp_heartbeat);
        let delay = self.draw(2 * heartbeat, 2 * heartbeat + 300 * MS);
        self.after(delay, Event::GiveUp { proc, life, conn });
    }

    /// The broker answers again, and finds what arrived meanwhile.
    pub(crate) fn broker_thaws(&mut self) {
        if self.broker_hung() {
            return;
        }
        for op in std::mem::take(&mut self.broker.held) {
            self.reaches_broker(op);
        }
        // A handshake that waits for a sleeping broker is answered when it wakes.
        for proc in 0..self.procs.len() {
            let Some(state) = self.procs[proc].as_mut().filter(|state| state.shakes) else {
                continue;
            };
            state.shakes = false;
            let life = state.life;
            self.after(0, Event::Connect { proc, life });
        }
    }

    /// A client that heard nothing for two heartbeats closes its connection.
    pub(crate) fn give_up(&mut self, proc: usize, life: u64, conn: ConnId) {
        let up = self
            .proc(proc, life)
            .is_some_and(|proc| proc.link == Link::Up(conn));
        // The broker may have closed it where the news could not get through.
        let deaf = self.broker.conns.get(&conn).is_none_or(|client| client.cut);
        if !up || !self.broker_hung() && !deaf {
            return;
        }
        if self.conts[proc].freeze != 0 {
            self.after(500 * MS, Event::GiveUp { proc, life, conn });
            return;
        }
        self.hang_up(conn);
        self.work(
            proc,
            life,
            Work::LinkDown(conn, "no heartbeat from the broker"),
        );
    }

    /// The client's end of a connection is closed; a cut link does not tell the broker.
    pub(crate) fn hang_up(&mut self, conn: ConnId) {
        let cut = self.broker.conns.get(&conn).map(|client| client.cut);
        match cut {
            Some(false) => {
                let delay = self.draw(MS, 5 * MS);
                self.after(delay, Event::ToBroker(Op::Hangup { conn }));
            }
            Some(true) => self.falls_silent(conn),
            None => {}
        }
    }

    /// Nothing comes from this client any more: the broker closes it on the second empty check,
    /// somewhere in (2h, 3h].
    pub(crate) fn falls_silent(&mut self, conn: ConnId) {
        let heartbeat = nanos(self.stage.settings.amqp_heartbeat);
        let delay = self.draw(2 * heartbeat + 1, 3 * heartbeat);
        let now = self.now;
        let Some(client) = self.broker.conns.get_mut(&conn) else {
            return;
        };
        if client.silent_since.is_none() {
            client.silent_since = Some(now);
            self.after(delay, Event::Reap { conn, since: now });
        }
    }

    pub(crate) fn speaks_again(&mut self, conn: ConnId) {
        if let Some(client) = self.broker.conns.get_mut(&conn)
            && !client.cut
        {
            client.silent_since = None;
        }
    }

    pub(crate) fn reap(&mut self, conn: ConnId, since: u64) {
        let Some(client) = self.broker.conns.get(&conn) else {
            return;
        };
        if client.silent_since != Some(since) {
            return;
        }
        if self.broker_hung() {
            // It counts again once it runs.
            self.after(S, Event::Reap { conn, since });
            return;
        }
        let cut = client.cut;
        let (proc, life) = client.owner;
        let sent = self.broker.drop_conn(conn);
        self.deliver_all(sent);
        if !cut {
            self.after(
                MS,
                Event::Work {
                    proc,
                    life,
                    work: Work::LinkDown(conn, "closed by the broker"),
                },
            );
        }
    }

    /// Closes a client's connection from the broker's side.
    pub(crate) fn broker_closes(&mut self, owner: (usize, u64)) {
        let found = self
            .broker
            .conns
            .iter()
            .find(|(_, client)| client.owner == owner)
            .map(|(conn, _)| *conn);
        if let Some(conn) = found {
            let sent = self.broker.drop_conn(conn);
            self.deliver_all(sent);
            let delay = self.draw(MS, 5 * MS);
            self.after(
                delay,
                Event::Work {
                    proc: owner.0,
                    life: owner.1,
                    work: Work::LinkDown(conn, "closed by the broker"),
                },
            );
        }
    }

    /// Cuts or mends the way between a process and the broker.
    pub(crate) fn set_cut(&mut self, name: &str, cut: bool) {
        let changed = if cut {
            self.cut_broker.insert(name.to_owned())
        } else {
            self.cut_broker.remove(name)
        };
        if !changed {
            return;
        }
        let conns: Vec<_> = self
            .broker
            .conns
            .iter()
            .filter(|(_, client)| self.conts[client.owner.0].facts.name == name)
            .map(|(conn, client)| (*conn, client.owner))
            .collect();
        for (conn, owner) in conns {
            if let Some(client) = self.broker.conns.get_mut(&conn) {
                client.cut = cut;
            }
            if cut {
                self.falls_silent(conn);
                self.lose_patience(conn, owner);
            } else {
                self.mend(conn, owner);
            }
        }
    }

    fn mend(&mut self, conn: ConnId, (proc, life): (usize, u64)) {
        let up = self
            .proc(proc, life)
            .is_some_and(|proc| proc.link == Link::Up(conn));
        if !up {
            // The client gave it up long ago: the broker's next packet is answered by a reset.
            let sent = self.broker.drop_conn(conn);
            self.deliver_all(sent);
            return;
        }
        if self.conts[proc].freeze == 0 {
            self.speaks_again(conn);
        }
        let Some(client) = self.broker.conns.get_mut(&conn) else {
            return;
        };
        let held_in = std::mem::take(&mut client.held_in);
        let held_out = std::mem::take(&mut client.held_out);
        for op in held_in {
            self.tell_connection(op);
        }
        for input in held_out {
            self.deliver(conn, input);
        }
    }

    /// The driver's reconnect loop: one attempt.
    pub(crate) fn connect(&mut self, proc: usize, life: u64) {
        let Some(state) = self.proc(proc, life) else {
            return;
        };
        if state.link != Link::Down || state.leaving {
            return;
        }
        if self.conts[proc].freeze != 0 {
            self.after(100 * MS, Event::Connect { proc, life });
            return;
        }
        let now = self.now;
        if self.cut_broker.contains(&self.conts[proc].facts.name) || self.broker_hung() {
            if let Some(state) = self.proc_mut(proc, life) {
                state.shakes = true;
            }
            self.after(HANDSHAKE_PATIENCE, Event::Handshake { proc, life });
        } else if self.broker.ready_at.is_some_and(|at| at <= now) {
            let delay = self.draw(8 * MS, 15 * MS) + self.broker_delay();
            self.after(delay, Event::Connected { proc, life });
        } else {
            self.refused(
                proc,
                life,
                Input::BrokerDisconnected {
                    reason: "connection refused".into(),
                },
            );
        }
    }

    /// The handshake's deadline.
    pub(crate) fn handshake(&mut self, proc: usize, life: u64) {
        let waits = self
            .proc_mut(proc, life)
            .is_some_and(|state| std::mem::take(&mut state.shakes));
        if !waits {
            return;
        }
        if self.cut_broker.contains(&self.conts[proc].facts.name) {
            self.refused(
                proc,
                life,
                Input::BrokerDisconnected {
                    reason: "timed out".into(),
                },
            );
        } else if self.broker_hung() && self.broker.ready_at.is_some() {
            self.refused(proc, life, Input::BrokerHandshakeFailed);
        } else {
            self.connect(proc, life);
        }
    }

    fn refused(&mut self, proc: usize, life: u64, input: Input) {
        let delay = self.draw(100 * MS, 1000 * MS);
        self.after(delay, Event::Connect { proc, life });
        self.work(proc, life, Work::Input(Box::new(input)));
    }

    pub(crate) fn connected(&mut self, proc: usize, life: u64) {
        let ready = self.broker.ready_at.is_some_and(|at| at <= self.now) && !self.broker_hung();
        let name = &self.conts[proc].facts.name;
        let frozen = self.conts[proc].freeze != 0;
        if !ready || frozen || self.cut_broker.contains(name) {
            self.after(50 * MS, Event::Connect { proc, life });
            return;
        }
        if self
            .proc(proc, life)
            .is_none_or(|state| state.link != Link::Down)
        {
            return;
        }
        let conn = self.broker.connect((proc, life), self.now);
        self.trace.note(self.now, "connected", proc, || {
            format!("{} is connected to the broker", self.conts[proc].facts.name)
        });
        self.linked(proc, conn);
    }

    pub(crate) fn send_datagram(&mut self, from: usize, to: &MemberName, envelope: &Envelope) {
        let pair = (self.conts[from].facts.name.clone(), to.as_str().to_owned());
        if self.cut_direct.contains(&pair) || self.chance(self.datagram_loss) {
            return;
        }
        // Late ones overtake and some come twice, where loss is on at all.
        let copies = if self.datagram_loss > 0 && self.chance(50) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let spread = if self.datagram_loss > 0 { 40 * MS } else { MS };
            let delay = self.draw(MS / 10, spread);
            self.after(
                delay,
                Event::Datagram {
                    to: to.clone(),
                    envelope: Box::new(envelope.clone()),
                },
            );
        }
    }

    pub(crate) fn datagram(&mut self, to: &MemberName, envelope: &Envelope) {
        let Some(index) = self.find(to.as_str()) else {
            return;
        };
        let life = self.conts[index].life;
        self.work(
            index,
            life,
            Work::Input(Box::new(Input::Direct(envelope.clone()))),
        );
    }
}
