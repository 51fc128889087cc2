//! How much others may send a member in one rotation.

/// Not less, whatever was dropped: room for a few packets of a few members.
const PACKETS_MIN: u32 = 16;

/// Visits without a drop after which the window grows by one packet: back from a half within about
/// a second, so that a bound that is too high costs a drop a second and not many.
const CALM_VISITS: u32 = 32;

/// Packets that fit a member's receive buffer between two of its token visits: it reads all that
/// came before it handles the token. Halved when the kernel has dropped some all the same, and
/// slowly grown again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReceiveWindow {
    packets_max: u32,
    packets: u32,
    calm_visits: u32,
}

impl ReceiveWindow {
    /// A window of at most `packets_max`.
    #[must_use]
    pub fn new(packets_max: u32) -> Self {
        let packets_max = packets_max.max(PACKETS_MIN);
        Self { packets_max, packets: packets_max, calm_visits: 0 }
    }

    /// Packets that may come in one rotation.
    #[must_use]
    pub const fn packets(&self) -> u32 {
        self.packets
    }

    /// The kernel has dropped what came.
    pub fn handle_drops(&mut self) {
        self.packets = (self.packets / 2).max(PACKETS_MIN);
        self.calm_visits = 0;
    }

    /// The token is here.
    pub fn handle_visit(&mut self) {
        self.calm_visits += 1;
        if self.calm_visits >= CALM_VISITS {
            self.calm_visits = 0;
            self.packets = self.packets_max.min(self.packets + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_halve_it_and_calm_lets_it_grow_to_its_bound() {
        let mut window = ReceiveWindow::new(100);
        window.handle_drops();
        assert_eq!(window.packets(), 50);
        for _ in 0..10 {
            window.handle_drops();
        }
        assert_eq!(window.packets(), PACKETS_MIN);
        for _ in 0..CALM_VISITS {
            window.handle_visit();
        }
        assert_eq!(window.packets(), PACKETS_MIN + 1);
        for _ in 0..100 * CALM_VISITS {
            window.handle_visit();
        }
        assert_eq!(window.packets(), 100);
        assert_eq!(ReceiveWindow::new(0).packets(), PACKETS_MIN);
    }
}
