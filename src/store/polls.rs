//! What is asked of Meta regularly, and whose turn it is to ask.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Connection, Store, StoreError};
use crate::ids::TenantId;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The templates of an account.
    Templates,
    /// The state of a number.
    Number,
}

impl Kind {
    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Templates => "templates",
            Self::Number => "number",
        }
    }
}

/// A turn to ask.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Owner.
    pub tenant_id: Uuid,
    /// `templates` or `number`.
    pub kind: String,
    /// Of which account, or which channel.
    pub owner: String,
    /// The end of the turn: whoever finishes names it, so that a turn that was lost writes nothing.
    pub next_at: OffsetDateTime,
    /// Failures since the last success.
    pub failures: i16,
}

/// How far the reading of an account's templates has come.
#[derive(Debug, Clone)]
pub struct Reached {
    /// Owner.
    pub tenant_id: Uuid,
    /// Which account.
    pub owner: String,
    /// Stepped by each success.
    pub version: i64,
    /// When it last succeeded.
    pub done_at: Option<OffsetDateTime>,
}

/// Ends a turn that succeeded, to be committed with what it brought. False: the turn was lost, or it is asked for anew.
pub async fn finish(
    connection: &mut Connection,
    turn: &Turn,
    next_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE poll SET next_at = $5, done_at = $6, failures = 0, version = version + 1
         WHERE tenant_id = $1 AND kind = $2 AND owner = $3 AND next_at = $4",
        turn.tenant_id,
        turn.kind,
        turn.owner,
        turn.next_at,
        next_at,
        now,
    );
    Ok(done.execute(connection).await?.rows_affected() == 1)
}

impl Store {
    /// Makes sure that these things are asked for, those that are new at once, and that nothing else is. What was said of others is
    /// forgotten.
    pub async fn ensure_polls(
        &self,
        wanted: &[(TenantId, Kind, String)],
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let tenants: Vec<Uuid> = wanted.iter().map(|(tenant, ..)| tenant.uuid()).collect();
        let kinds: Vec<&str> = wanted.iter().map(|(_, kind, _)| kind.as_str()).collect();
        let owners: Vec<&str> = wanted.iter().map(|(.., owner)| owner.as_str()).collect();
        sqlx::query!(
            "WITH wanted AS (SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::text[]) AS t (tenant_id, kind, owner)),
                  gone AS (DELETE FROM poll WHERE (tenant_id, kind, owner) NOT IN (SELECT tenant_id, kind, owner FROM wanted)),
                  templates AS (DELETE FROM template WHERE (tenant_id, waba_id) NOT IN
                      (SELECT tenant_id, owner FROM wanted WHERE kind = 'templates')),
                  states AS (DELETE FROM channel_state WHERE (tenant_id, channel_id::text) NOT IN
                      (SELECT tenant_id, owner FROM wanted WHERE kind = 'number'))
             INSERT INTO poll (tenant_id, kind, owner, next_at) SELECT tenant_id, kind, owner, $4 FROM wanted
             ON CONFLICT DO NOTHING",
            &tenants,
            &kinds as _,
            &owners as _,
            now,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Takes the turns that are due, until `end`. What another process takes at the same moment is left to it.
    pub async fn take_turns(
        &self,
        now: OffsetDateTime,
        end: OffsetDateTime,
        limit: i64,
    ) -> Result<Vec<Turn>, StoreError> {
        let turns = sqlx::query_as!(
            Turn,
            "WITH due AS (
                 SELECT tenant_id, kind, owner FROM poll WHERE next_at <= $1
                 ORDER BY next_at LIMIT $3 FOR UPDATE SKIP LOCKED
             )
             UPDATE poll p SET next_at = $2 FROM due d
             WHERE (p.tenant_id, p.kind, p.owner) = (d.tenant_id, d.kind, d.owner)
             RETURNING p.tenant_id, p.kind, p.owner, p.next_at, p.failures",
            now,
            end,
            limit,
        );
        Ok(turns.fetch_all(&self.data).await?)
    }

    /// Ends a turn that failed.
    pub async fn fail_turn(&self, turn: &Turn, next_at: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE poll SET next_at = $5, failures = LEAST(failures + 1, 100)
             WHERE tenant_id = $1 AND kind = $2 AND owner = $3 AND next_at = $4",
            turn.tenant_id,
            turn.kind,
            turn.owner,
            turn.next_at,
            next_at,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Has things asked for now, unless they were asked for since `fresh`.
    pub async fn hasten_polls(
        &self,
        tenant: TenantId,
        kind: Kind,
        owners: &[String],
        (fresh, now): (OffsetDateTime, OffsetDateTime),
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE poll SET next_at = $4
             WHERE tenant_id = $1 AND kind = $2 AND owner = ANY($3) AND next_at > $4 AND (done_at IS NULL OR done_at <= $5)",
            tenant.uuid(),
            kind.as_str(),
            owners,
            now,
            fresh,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// How far the templates of every account were read. A small table.
    pub async fn templates_reached(&self) -> Result<Vec<Reached>, StoreError> {
        let reached = sqlx::query_as!(
            Reached,
            "SELECT tenant_id, owner, version, done_at FROM poll WHERE kind = 'templates' AND version > 0"
        );
        Ok(reached.fetch_all(&self.data).await?)
    }
}
