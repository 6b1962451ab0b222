//! What the bytes of a journal say after a crash, or after worse.

use super::{
    JournalError,
    disk::Disk,
    layout::{self, AREA, Owner, PAGE_BYTES, Record, Slot},
};

pub(super) fn read_all(disk: &dyn Disk) -> Result<Vec<u8>, JournalError> {
    let length = disk.len().map_err(JournalError::io("measuring"))?;
    let mut image = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    disk.read_at(0, &mut image).map_err(JournalError::io("reading"))?;
    Ok(image)
}

/// What the bytes say.
pub(super) struct Found {
    pub(super) slot: Slot,
    pub(super) page: u64,
    pub(super) records: Vec<Record>,
    /// Where the records end, in bytes from the area's start.
    pub(super) end: u64,
    /// Where the last whole record ends that does not follow from the others.
    pub(super) stale_end: u64,
    /// Whether something that was synced cannot be read.
    pub(super) damaged: bool,
}

pub(super) fn scan(
    owner: &Owner,
    image: &[u8],
    warnings: &mut Vec<String>,
) -> Result<Found, JournalError> {
    let page = |at: u64| {
        let at = usize::try_from(at * PAGE_BYTES).expect("three pages fit memory");
        image.get(at..at + PAGE_BYTES as usize)
    };
    owner.check_header(page(0).ok_or(JournalError::Corrupt { what: "the header" })?)?;
    let slots = [1, 2].map(|at| page(at).and_then(|page| owner.read_slot(page)));
    if slots.iter().any(Option::is_none) {
        // One may be torn by a crash. Both cannot: only one is written between two syncs.
        warnings.push("one of the two slots of the signing state was torn or damaged".to_owned());
    }
    let page =
        u64::from(slots[1].as_ref().map(|s| s.sequence) > slots[0].as_ref().map(|s| s.sequence));
    let newest = slots.into_iter().flatten().max_by_key(|slot| slot.sequence);
    let mut slot = newest.ok_or(JournalError::Corrupt { what: "both slots" })?;
    let area = image.get(AREA as usize..).unwrap_or_default();
    if let Some(first) = owner.read_record(area, 0)
        && first.stamp.epoch > slot.epoch
    {
        // The slot that began this life is gone: it was torn with the rest of an unsynced
        // batch, or damaged later. The records know all that it knew.
        slot.epoch = first.stamp.epoch;
        slot.height = first.stamp.height;
        slot.attested = 0;
    }
    let (mut records, mut end) = (Vec::new(), 0);
    while let Some(raw) = owner.read_record(area, end)
        && raw.stamp.epoch == slot.epoch
    {
        let (record, signature) =
            layout::interpret(&raw).map_err(|_| JournalError::Corrupt { what: "a record" })?;
        records.push(record);
        if let Some(signature) = signature {
            slot.guard.remember(signature);
        }
        end = raw.end;
    }
    let mut stale_end = end;
    let mut synced = slot.attested;
    let mut at = end;
    while at + layout::RECORD_HEADER <= area.len() {
        let step = owner.read_record(area, at).filter(|raw| raw.stamp.epoch >= slot.epoch);
        if let Some(raw) = step {
            if raw.stamp.epoch > slot.epoch && raw.stamp.synced > 0 {
                slot.epoch = raw.stamp.epoch;
                slot.height = raw.stamp.height;
            }
            synced = synced.max(raw.stamp.synced);
            stale_end = raw.end.min(area.len());
        }
        at = step.map_or(at + layout::ALIGN, |raw| raw.end.max(at + layout::ALIGN));
    }
    let damaged = synced > end as u64;
    let (end, stale_end) = (end as u64, stale_end as u64);
    Ok(Found { slot, page, records, end, stale_end, damaged })
}
