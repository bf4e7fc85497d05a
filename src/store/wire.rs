//! Which messages an owner of a channel's lane may have put on the wire. A list of its own beside the marks, because a mark is set a
//! good while before the request is written, and a process that dies in between must not leave doubts about what it never sent.

use uuid::Uuid;

use super::lanes::OwnedLane;
use super::{Store, StoreError};

impl Store {
    /// Replaces the list of the owner of a lane by `messages`, the `seq`th one. True: from now on whoever finds the marks of this owner
    /// knows that Meta may have seen these and none but these. False: the lane is another's, or a later list is there, as when the
    /// answer to this one was lost and it was late; none of them may be sent.
    ///
    /// Does not wait for the disk: when Postgres dies, the list dies with it, and the next owner takes every mark for a doubt.
    pub async fn list_on_the_wire(&self, lane: OwnedLane, seq: i64, messages: &[Uuid]) -> Result<bool, StoreError> {
        let listed = sqlx::query!(
            "INSERT INTO on_the_wire (tenant_id, channel_id, epoch, seq, messages)
             SELECT $1, $2, $4, $6, $5 FROM lane
             WHERE tenant_id = $1 AND kind = 2 AND owner_id = $2 AND shard = $3 AND epoch = $4
               AND set_config('synchronous_commit', 'off', true) = 'off'
             FOR SHARE
             ON CONFLICT (tenant_id, channel_id, epoch) DO UPDATE SET messages = EXCLUDED.messages, seq = EXCLUDED.seq
             WHERE on_the_wire.seq < EXCLUDED.seq",
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            lane.epoch,
            messages,
            seq,
        );
        Ok(listed.execute(&self.data).await?.rows_affected() == 1)
    }
}
