//! What a fault does when it begins, and what mends when it ends.

use std::time::Duration;

use super::fault::Fault;
use super::scale::PROBERS;
use super::world::World;

impl World {
    /// A fault begins.
    pub(crate) fn strike(&mut self, fault: &Fault) {
        match fault {
            Fault::Cut { region, out, into } => self.links.cut(*region, *out, *into, true),
            Fault::Bus { region } => {
                self.away[*region] += 1;
                self.nodes_of(*region).for_each(|at| self.link(at, false));
            }
            Fault::Pause { node } => self.nodes[*node].paused += 1,
            Fault::Stop { node } => self.stop(*node),
            Fault::Region { region } => {
                self.nodes_of(*region).for_each(|at| self.stop(at));
                self.kill(&self.fleet.endpoints_in(*region));
            }
            Fault::Probers { region } => {
                self.nodes_of(*region).take(PROBERS).for_each(|at| self.stop(at));
            }
            Fault::Blind { prober } => self.blind[*prober] += 1,
            Fault::Lie { prober } => {
                self.lying[*prober] += 1;
                self.speak(*prober);
            }
            Fault::Endpoints { endpoints } => self.kill(endpoints),
            Fault::Double { prober } => {
                let (original, double) = self.doubles(*prober);
                self.stop(double);
                let name = self.nodes[original].name.clone();
                (self.nodes[double].prober, self.nodes[double].name) = (Some(*prober), name);
                self.start(double);
            }
            Fault::Clock { node, seconds } => self.nodes[*node].wrong += seconds,
        }
    }

    /// A fault ends.
    pub(crate) fn heal(&mut self, fault: &Fault) {
        match fault {
            Fault::Cut { region, out, into } => self.links.cut(*region, *out, *into, false),
            Fault::Bus { region } => {
                self.away[*region] -= 1;
                if self.away[*region] == 0 {
                    self.nodes_of(*region).for_each(|at| self.link(at, true));
                }
            }
            Fault::Pause { node } => self.resume(*node),
            Fault::Stop { node } => self.start(*node),
            Fault::Region { region } => {
                self.nodes_of(*region).for_each(|at| self.start(at));
                self.revive(&self.fleet.endpoints_in(*region));
            }
            Fault::Probers { region } => {
                self.nodes_of(*region).take(PROBERS).for_each(|at| self.start(at));
            }
            Fault::Blind { prober } => self.blind[*prober] -= 1,
            Fault::Lie { prober } => {
                self.lying[*prober] -= 1;
                self.speak(*prober);
            }
            Fault::Endpoints { endpoints } => self.revive(endpoints),
            Fault::Double { prober } => self.part(*prober),
            Fault::Clock { node, seconds } => self.nodes[*node].wrong -= seconds,
        }
    }

    fn nodes_of(&self, region: usize) -> std::ops::Range<usize> {
        let nodes = self.fleet.scale.nodes;
        region * nodes..(region + 1) * nodes
    }

    fn kill(&mut self, endpoints: &[u32]) {
        for endpoint in endpoints {
            self.dead[*endpoint as usize] += 1;
        }
    }

    fn revive(&mut self, endpoints: &[u32]) {
        for endpoint in endpoints {
            self.dead[*endpoint as usize] -= 1;
        }
    }

    /// The server of its region goes away from a node, or is there again.
    fn link(&mut self, at: usize, up: bool) {
        if self.nodes[at].stopped > 0 {
            return;
        }
        self.nodes[at].mesh.link(up, self.now);
        if up {
            self.recall(at);
        }
        self.wake_at(at, self.now + Duration::from_millis(1));
    }

    /// A node that was held still goes on: what has waited comes first.
    fn resume(&mut self, at: usize) {
        self.nodes[at].paused -= 1;
        if !self.nodes[at].runs() {
            return;
        }
        let backlog = std::mem::take(&mut self.nodes[at].backlog);
        for letter in backlog {
            self.deliver(at, &letter, false);
        }
        if std::mem::take(&mut self.nodes[at].lost) {
            self.nodes[at].mesh.resync(self.now);
        }
        self.nodes[at].next_wake = self.now;
        self.wake_at(at, self.now + Duration::from_millis(1));
    }

    /// A prober says all it has to say, whether it lies or not.
    fn speak(&mut self, prober: usize) {
        let (original, _) = self.doubles(prober);
        if self.nodes[original].runs() {
            let votes = self.nodes[original].judge.table().local_votes(self.now);
            self.say(original, prober, votes);
        }
    }

    /// The node of a prober, and the one that takes its name when it is doubled.
    fn doubles(&self, prober: usize) -> (usize, usize) {
        let (region, nth) = (prober / PROBERS, prober % PROBERS);
        let of = self.nodes_of(region);
        (of.start + nth, of.end - 1)
    }

    /// Operators find the double: it is itself again, and the one that fell silent is restarted.
    fn part(&mut self, prober: usize) {
        let (original, double) = self.doubles(prober);
        self.stop(double);
        let name =
            super::scale::SimFleet::name(self.nodes[double].region, self.fleet.scale.nodes - 1);
        (self.nodes[double].prober, self.nodes[double].name) = (None, name);
        self.start(double);
        self.stop(original);
        self.start(original);
    }
}
