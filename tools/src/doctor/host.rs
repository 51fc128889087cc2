//! What the kernel says about itself, and what that means for a member.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use roundel::{IoInUse, Privileges};

use super::{Finding, Level};

/// What io_uring's queues may need where they count as locked memory.
const LOCKED_BYTES: u64 = 8 << 20;

/// Sockets of one member that join the group.
const MEMBERSHIPS_MIN: u64 = 2;

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn read_number(path: &str) -> Option<u64> {
    read(path)?.parse().ok()
}

/// The kernel's release.
pub(super) fn kernel() -> String {
    read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned())
}

pub(super) fn processor_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The limit, where a member got what it asked for in spite of it or thanks to it.
pub(super) fn receive_buffer() -> String {
    let limit = read_number("/proc/sys/net/core/rmem_max");
    let limit = limit.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
    format!("members get the buffer they ask for (net.core.rmem_max is {limit})")
}

pub(super) fn locked_memory(io: Option<IoInUse>) -> Finding {
    let name = "locked_memory";
    let Ok((soft, _)) = getrlimit(Resource::RLIMIT_MEMLOCK) else {
        return Finding::ok(name, "the limit is unknown");
    };
    let cause = match soft {
        u64::MAX => "no limit".to_owned(),
        bytes => format!("the limit is {bytes} bytes"),
    };
    if soft >= LOCKED_BYTES || io == Some(IoInUse::Uring) {
        return Finding::ok(name, cause);
    }
    let consequence = "io_uring may not get its queues; members use sendmmsg and recvmmsg then";
    let fix = "ulimit -l 8192, or LimitMEMLOCK=8M in the service's unit";
    Finding::bad(name, Level::Warn, cause, consequence, fix)
}

pub(super) fn memberships() -> Finding {
    let limit = read_number("/proc/sys/net/ipv4/igmp_max_memberships");
    judge_memberships(limit)
}

fn judge_memberships(limit: Option<u64>) -> Finding {
    let name = "memberships";
    match limit {
        Some(limit) if limit < MEMBERSHIPS_MIN => Finding::bad(
            name,
            Level::Warn,
            format!("net.ipv4.igmp_max_memberships is {limit}"),
            "a group may not be joined",
            "sysctl -w net.ipv4.igmp_max_memberships=20",
        ),
        Some(limit) => Finding::ok(name, format!("net.ipv4.igmp_max_memberships is {limit}")),
        None => Finding::ok(name, "the limit is unknown"),
    }
}

/// Four are needed before `--pin auto` pins: the worker polls, and control, application and
/// kernel want to run beside it.
pub(super) fn processors(count: usize) -> Finding {
    let name = "processors";
    match count {
        0 | 1 => Finding::bad(
            name,
            Level::Warn,
            "there is 1 processor",
            "the worker, control and the application wait for each other; latency suffers",
            "give the member two processors, or the four with which it pins its worker",
        ),
        2 | 3 => {
            Finding::ok(name, format!("{count}: enough, but the worker is not pinned below 4"))
        }
        _ => Finding::ok(name, format!("{count}: the worker gets one for itself")),
    }
}

pub(super) fn clock_source() -> Option<String> {
    read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
}

/// Sources that a process reads without a system call.
const FAST_CLOCKS: [&str; 5] =
    ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "riscv_clocksource"];

pub(super) fn clock(source: Option<&str>) -> Finding {
    let name = "clock";
    match source {
        None => Finding::ok(name, "the source is unknown"),
        Some(source) if FAST_CLOCKS.contains(&source) => Finding::ok(name, source),
        Some(source) => Finding::bad(
            name,
            Level::Warn,
            format!("the clock source is {source}"),
            "each look at the clock is a system call, and the worker looks in every cycle",
            "boot with clocksource=tsc where the processor has an invariant one",
        ),
    }
}

/// What `--realtime` and `--lock-memory` may ask for.
pub(super) fn real_time() -> Finding {
    let Privileges { realtime_max, lock_memory } = Privileges::own();
    let priority = match realtime_max {
        0 => "no --realtime priority is allowed (ulimit -r)".to_owned(),
        most => format!("--realtime takes up to {most}"),
    };
    let memory = if lock_memory { "--lock-memory works" } else { "--lock-memory is not allowed" };
    Finding::ok("real_time", format!("{priority}; {memory}"))
}

/// Whether the interface's interrupts come to the processor that the worker is pinned to.
pub(super) fn interrupts(interface: &str, worker_cpu: Option<usize>) -> Finding {
    let listed = fs::read_dir(format!("/sys/class/net/{interface}/device/msi_irqs"));
    let numbers = listed.into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let served = numbers.filter_map(|number| {
        let cpus = read(&format!("/proc/irq/{number}/effective_affinity_list"))?;
        Some((number, cpus))
    });
    judge_interrupts(interface, worker_cpu, &served.collect::<Vec<_>>())
}

fn judge_interrupts(
    interface: &str,
    worker_cpu: Option<usize>,
    served: &[(u32, String)],
) -> Finding {
    let name = "interrupts";
    let Some(cpu) = worker_cpu else {
        return Finding::ok(name, "the worker is not pinned, so they come where it may be");
    };
    let own = served.iter().find(|(_, cpus)| lists(cpus, cpu));
    let Some((number, _)) = own else {
        return Finding::ok(name, format!("none of {interface} comes to the worker's processor"));
    };
    Finding::bad(
        name,
        Level::Warn,
        format!("interrupt {number} of {interface} comes to processor {cpu}, the worker's own"),
        "the worker stands still while it is handled; latency suffers",
        format!("echo 0 > /proc/irq/{number}/smp_affinity_list, or --pin another"),
    )
}

/// Whether a list such as `0-2,5` has a number.
fn lists(cpus: &str, cpu: usize) -> bool {
    cpus.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bounds = first.trim().parse::<usize>().ok().zip(last.trim().parse().ok());
        bounds.is_some_and(|(first, last)| (first..=last).contains(&cpu))
    })
}

pub(super) fn packet_filter() -> Finding {
    let modules = read("/proc/modules").unwrap_or_default();
    let tables = read("/proc/net/ip_tables_names").unwrap_or_default();
    judge_packet_filter(&modules, &tables)
}

/// Whether rules are in the way cannot be seen without root; that there may be some can.
fn judge_packet_filter(modules: &str, tables: &str) -> Finding {
    let is_loaded = |name: &str| modules.lines().any(|line| line.split(' ').next() == Some(name));
    let is_there = !tables.is_empty() || is_loaded("nf_tables") || is_loaded("ip_tables");
    let cause = if is_there {
        "one is loaded: it must let pass UDP to --port P, P+1 and P+2 (7400 to 7402), and IGMP"
    } else {
        "none is loaded as a module"
    };
    Finding::ok("packet_filter", cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_clocks_and_small_limits_are_found() {
        assert_eq!(clock(Some("tsc")).level, Level::Ok);
        assert_eq!(clock(Some("hpet")).level, Level::Warn);
        assert_eq!(clock(None).level, Level::Ok);
        assert_eq!(judge_memberships(Some(20)).level, Level::Ok);
        assert_eq!(judge_memberships(Some(1)).level, Level::Warn);
        assert_eq!([1, 2, 4].map(|n| processors(n).level), [Level::Warn, Level::Ok, Level::Ok]);
    }

    #[test]
    fn interrupts_of_the_workers_processor_are_found() {
        let served = [(40, "0".to_owned()), (41, "2-3".to_owned())];
        let level = |cpu| judge_interrupts("eth0", cpu, &served).level;
        assert_eq!([None, Some(1)].map(level), [Level::Ok; 2]);
        assert_eq!([Some(0), Some(2), Some(3)].map(level), [Level::Warn; 3]);
    }

    #[test]
    fn a_packet_filter_is_told() {
        let told = |modules, tables| judge_packet_filter(modules, tables).cause;
        assert!(told("nf_tables 311296 1 - Live 0x0\n", "").contains("7402"));
        assert!(told("", "filter").contains("IGMP"));
        assert!(told("nf_tables_set 1 0 - Live\n", "").contains("none"));
    }
}
