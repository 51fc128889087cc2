//! Precedence as a graph: which events must come before which, and one logical order of them or
//! a cycle that shows that there is none.

use crate::configuration::ConfigurationKind;
use crate::service::Service;
use crate::trace::Event;

use super::model::{Model, NEVER, narrow};

/// Events of a cycle that are put in words.
const CYCLE_NAMED_MAX: usize = 6;

/// Which events the graph has, and which of them count as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    /// All installations of one configuration are one event (EVS 2.3, 2.4, 6.2).
    configurations_merged: bool,
    /// All deliveries of one agreed or safe message are one event (EVS 6.2), and causality does
    /// not pass through reliable and fifo messages, which are outside of the order.
    ordered_merged: bool,
    /// Only what the virtual synchrony filter lets through (EVS §5, rules 1 and 2): stays on
    /// primary rings, without transitional configurations.
    filtered: bool,
}

impl Shape {
    /// Local order and send → delivery.
    pub(super) const CAUSAL: Self =
        Self { configurations_merged: false, ordered_merged: false, filtered: false };

    /// Configuration changes are simultaneous.
    pub(super) const CONFIGURATIONS_MERGED: Self =
        Self { configurations_merged: true, ..Self::CAUSAL };

    /// Ordered messages, too.
    pub(super) const ALL_MERGED: Self =
        Self { ordered_merged: true, ..Self::CONFIGURATIONS_MERGED };

    /// The same of the filtered history.
    pub(super) const fn filtered(self) -> Self {
        Self { filtered: true, ..self }
    }
}

/// The result of ordering a graph.
pub(super) enum Order {
    /// Its nodes, each after all that precede it.
    Linear(Vec<u32>),
    /// Events that all precede each other, by number.
    Cyclic(Vec<u32>),
}

/// Events as nodes, precedence as edges.
pub(super) struct Graph {
    /// Node of each event; [`NEVER`] for events that are not in the graph.
    node_of: Vec<u32>,
    /// The first event of each node.
    event_of: Vec<u32>,
    edges: Vec<(u32, u32)>,
}

impl Graph {
    /// The graph of `shape` over all histories.
    pub(super) fn new(model: &Model<'_>, shape: Shape) -> Self {
        let mut graph = Self {
            node_of: vec![NEVER; model.event_count],
            event_of: Vec::new(),
            edges: Vec::new(),
        };
        graph.add_events(model, shape);
        graph.add_local_order(model);
        graph.add_messages(model, shape);
        graph
    }

    /// The node that stands for an event, if the graph has it.
    pub(super) fn node(&self, event: usize) -> Option<usize> {
        let node = self.node_of[event];
        (node != NEVER).then_some(node as usize)
    }

    /// Events in the graph.
    pub(super) fn event_count(&self) -> usize {
        self.node_of.iter().filter(|node| **node != NEVER).count()
    }

    /// Nodes: events, those that count as one counted once.
    pub(super) const fn node_count(&self) -> usize {
        self.event_of.len()
    }

    pub(super) fn edges(&self) -> &[(u32, u32)] {
        &self.edges
    }

    /// One order that contains all of precedence, or a cycle (Kahn's algorithm).
    pub(super) fn order(&self) -> Order {
        let nodes = self.event_of.len();
        let (starts, targets) = self.successors();
        let mut waiting_for = vec![0_u32; nodes];
        for (_, to) in &self.edges {
            waiting_for[*to as usize] += 1;
        }
        let ready = |node: &u32| waiting_for[*node as usize] == 0;
        let mut order: Vec<u32> = (0..narrow(nodes)).filter(ready).collect();
        let mut done = 0;
        while let Some(&node) = order.get(done) {
            done += 1;
            let node = node as usize;
            for &to in &targets[starts[node] as usize..starts[node + 1] as usize] {
                waiting_for[to as usize] -= 1;
                if waiting_for[to as usize] == 0 {
                    order.push(to);
                }
            }
        }
        if done == nodes { Order::Linear(order) } else { Order::Cyclic(self.cycle(&waiting_for)) }
    }

    /// Targets of the edges, sorted by source, and where each source's begin.
    fn successors(&self) -> (Vec<u32>, Vec<u32>) {
        let mut starts = vec![0_u32; self.event_of.len() + 2];
        for (from, _) in &self.edges {
            starts[*from as usize + 2] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut targets = vec![0; self.edges.len()];
        for (from, to) in &self.edges {
            let next = &mut starts[*from as usize + 1];
            targets[*next as usize] = *to;
            *next += 1;
        }
        (starts, targets)
    }

    /// A cycle among the nodes that still wait for others. Each of them has a predecessor among
    /// them, so walking backwards must come round.
    fn cycle(&self, waiting_for: &[u32]) -> Vec<u32> {
        let mut before = vec![NEVER; waiting_for.len()];
        for (from, to) in &self.edges {
            if waiting_for[*from as usize] > 0 {
                before[*to as usize] = *from;
            }
        }
        let first = waiting_for.iter().position(|n| *n > 0).unwrap_or_default();
        let mut seen = vec![false; waiting_for.len()];
        let mut node = first;
        while !seen[node] {
            seen[node] = true;
            node = before[node] as usize;
        }
        let mut cycle = vec![self.event_of[node]];
        let mut step = before[node] as usize;
        while step != node {
            cycle.push(self.event_of[step]);
            step = before[step] as usize;
        }
        cycle.reverse();
        cycle
    }

    fn add_events(&mut self, model: &Model<'_>, shape: Shape) {
        let mut configuration_nodes = vec![NEVER; model.configuration_count];
        let mut message_nodes = vec![NEVER; model.messages.len()];
        let lets_through = |stay: Option<usize>| {
            !shape.filtered || stay.is_some_and(|s| model.rings[model.stays[s].ring].primary)
        };
        for (i, segment) in model.segments.iter().enumerate() {
            let masked = shape.filtered && segment.kind == ConfigurationKind::Transitional;
            if masked || !lets_through(segment.stay) {
                continue;
            }
            let merged = &mut configuration_nodes[segment.configuration];
            let merged = shape.configurations_merged.then_some(merged);
            self.add(model, segment.life, model.segments[i].position, merged);
        }
        for send in &model.sends {
            if lets_through(model.stay_of(send.segment)) {
                self.add(model, send.life, send.position, None);
            }
        }
        for delivery in &model.deliveries {
            if lets_through(model.stay_of(delivery.segment)) {
                let ordered = model.messages[delivery.message].service.is_totally_ordered();
                let merged = &mut message_nodes[delivery.message];
                let merged = (shape.ordered_merged && ordered).then_some(merged);
                self.add(model, delivery.life, delivery.position, merged);
            }
        }
        if !shape.filtered {
            for life in &model.lives {
                let failed = |entry: &crate::trace::Entry| entry.event == Event::Fail;
                if let Some(position) = life.entries.iter().rposition(failed) {
                    self.put(life.first_event + position, None);
                }
            }
        }
    }

    fn add(&mut self, model: &Model<'_>, life: usize, position: usize, merged: Option<&mut u32>) {
        self.put(model.lives[life].first_event + position, merged);
    }

    /// Gives `event` a node: that of `merged`, made for the first of the events merged there.
    fn put(&mut self, event: usize, merged: Option<&mut u32>) {
        let fresh = narrow(self.event_of.len());
        let node = match merged {
            Some(node) if *node != NEVER => *node,
            Some(node) => {
                *node = fresh;
                fresh
            }
            None => fresh,
        };
        if node == fresh {
            self.event_of.push(narrow(event));
        }
        self.node_of[event] = node;
    }

    /// Within a life, and from a life of a member to its next one (EVS 1.2): a process that
    /// recovers is the same process.
    fn add_local_order(&mut self, model: &Model<'_>) {
        let mut last: Option<u32> = None;
        let mut node_before = None;
        for life in &model.lives {
            if node_before != Some(life.node) {
                last = None;
                node_before = Some(life.node);
            }
            let events = life.first_event..life.first_event + life.entries.len();
            for &node in self.node_of[events].iter().filter(|node| **node != NEVER) {
                if let Some(last) = last {
                    self.edges.push((last, node));
                }
                last = Some(node);
            }
        }
    }

    /// From the first send of a message to its deliveries (EVS 1.3).
    fn add_messages(&mut self, model: &Model<'_>, shape: Shape) {
        for delivery in &model.deliveries {
            let message = &model.messages[delivery.message];
            let outside = matches!(message.service, Service::Reliable | Service::Fifo);
            let Some(send) = message.send.filter(|_| !(shape.ordered_merged && outside)) else {
                continue;
            };
            let send = &model.sends[send];
            let from = self.node(model.lives[send.life].first_event + send.position);
            let to = self.node(model.lives[delivery.life].first_event + delivery.position);
            if let (Some(from), Some(to)) = (from, to) {
                self.edges.push((narrow(from), narrow(to)));
            }
        }
    }
}

/// The events of a cycle in words, each preceding the next and the last the first.
pub(super) fn cycle_name(model: &Model<'_>, cycle: &[u32]) -> String {
    let named = cycle.iter().take(CYCLE_NAMED_MAX);
    let mut text: Vec<String> = named.map(|e| event_name(model, *e as usize)).collect();
    if cycle.len() > CYCLE_NAMED_MAX {
        text.push(format!("{} more", cycle.len() - CYCLE_NAMED_MAX));
    }
    text.join(" < ") + " < the first"
}

fn event_name(model: &Model<'_>, event: usize) -> String {
    let after = model.lives.partition_point(|l| l.first_event <= event);
    let Some(life) = after.checked_sub(1) else {
        return String::new();
    };
    let position = event - model.lives[life].first_event;
    let what = match model.lives[life].entries.get(position).map(|e| &e.event) {
        Some(Event::Configuration(c)) => format!("{} configuration {}", c.kind.name(), c.ring),
        Some(Event::Send { message, .. }) => format!("send of {message}"),
        Some(Event::Deliver { message, .. }) => format!("delivery of {message}"),
        Some(Event::Fail) => "failure".to_owned(),
        Some(Event::Primary { .. } | Event::Submit { .. }) | None => "event".to_owned(),
    };
    format!("{what} at {}", model.who(life))
}
