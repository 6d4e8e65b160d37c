//! Fuzzes a data link without its socket: `cargo fuzz run flow` in `wire`, with a nightly compiler or `RUSTC_BOOTSTRAP=1`.
//!
//! The bytes are a script: what this end sends, what the socket takes, which reports and parts a peer sends that may lie.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shard_wire::flow::{FlowConfig, Inbound, Joiner, MAX_AT_ONCE, Outbox, Report};
use shard_wire::frame::FrameHead;
use shard_wire::header::{Fragment, FrameKind, Lane};

const MAX_MESSAGE: usize = 64 << 10;
const MAX_WAITING: u64 = 256 << 10;
const BODY: [u8; 48 << 10] = [1; 48 << 10];

struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// Small numbers are likely, large ones possible.
    fn number(&mut self) -> Option<u64> {
        let [kind, value] = self.take()?;
        Some(match kind {
            0 => u64::MAX - u64::from(value),
            1 => u64::from(u32::MAX) - u64::from(value),
            2 => u64::from_le_bytes(self.take()?),
            _ => u64::from(value),
        })
    }

    fn report(&mut self) -> Option<Report> {
        Some(Report { data: self.number()?, signal: self.number()?, limit: self.number()?, clock_ms: 0 })
    }

    fn fragment(&mut self) -> Option<Fragment> {
        let mut word = || Some(self.number()? as u32);
        Some(Fragment { message: word()?, index: word()?, count: word()?, total_bytes: word()? })
    }
}

struct End {
    out: Outbox,
    inbound: Inbound,
    joiner: Joiner,
    told: u64,
}

impl End {
    fn step(&mut self, script: &mut Script<'_>) -> Option<()> {
        let [what] = script.take()?;
        match what % 10 {
            0 => self.push(FrameKind::Send, script)?,
            1 => self.push(FrameKind::Reply, script)?,
            2 => {
                let report = self.inbound.report(0);
                assert!(report.limit >= self.told, "credit is never taken back");
                self.told = report.limit;
                assert!(self.out.link(&report).is_ok());
            }
            3 => {
                self.out.cut();
            }
            4 => {
                let report = script.report()?;
                let _lie = self.out.on_resume(&report);
            }
            5 => {
                let report = script.report()?;
                let _lie = self.out.on_credit(&report);
            }
            6 => self.write(script.number()? as usize),
            7 => {
                let (part, len) = (script.fragment()?, script.number()? as usize % 4096);
                let _lie = self.joiner.take(part, &BODY[..len]);
                assert!(self.joiner.bytes() <= MAX_AT_ONCE * MAX_MESSAGE);
            }
            8 => {
                let [lane, bytes] = script.take()?;
                let lane = if lane % 2 == 0 { Lane::Data } else { Lane::Signal };
                self.inbound.took_many(lane, 1, u64::from(bytes) * 16);
                let _due = (self.inbound.is_due(), self.inbound.is_untold());
            }
            _ => {
                let bytes = script.0.get(..48.min(script.0.len()))?;
                if let Ok(report) = Report::from_bytes(bytes) {
                    let _lie = self.out.on_credit(&report);
                }
            }
        }
        let (data, signal) = self.out.pushed();
        let loss = self.out.loss();
        assert!(loss.failed + loss.unknown <= data + signal + self.out.waiting());
        Some(())
    }

    fn push(&mut self, kind: FrameKind, script: &mut Script<'_>) -> Option<()> {
        let [size, from] = script.take()?;
        let head = FrameHead { from: shard_wire::LocalId(u64::from(from % 3)), ..FrameHead::new(kind) };
        let body = &BODY[..usize::from(size) * 192];
        let _full = self.out.push(&head, |out| out.put(body));
        // One frame may go beyond the bound, and each part has a header of its own.
        assert!(self.out.waiting() <= 4 * (MAX_WAITING + MAX_MESSAGE as u64), "{}", self.out.waiting());
        Some(())
    }

    fn write(&mut self, most: usize) {
        let Ok(bytes) = self.out.next_write() else { panic!("our own frames can be cut") };
        let count = bytes.len().min(most);
        if count > 0 {
            self.out.wrote(count);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut script = Script(bytes);
    let Some([numbered]) = script.take() else { return };
    let config =
        FlowConfig { max_message: MAX_MESSAGE, max_waiting: MAX_WAITING, is_numbered: numbered % 4 != 0 };
    let Ok(out) = Outbox::new(config) else { return };
    let mut end = End { out, inbound: Inbound::new(1 << 16), joiner: Joiner::new(MAX_MESSAGE), told: 0 };
    while end.step(&mut script).is_some() {}
});
