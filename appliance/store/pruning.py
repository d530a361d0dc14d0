"""What no call can use any more, and what nobody will publish: erased every night."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


async def prune(engine: AsyncEngine, older_than: timedelta) -> int:
    """Erase the versions that were superseded longer than that ago, and since before the oldest call
    that still lives, and what was stored of documents that failed as long ago; then originals that no
    version and no document has any more.

    Returns how many passages went.
    """
    async with engine.begin() as connection:
        before = await connection.scalar(
            text(f"SELECT least(now() - :age, ({_OLDEST_CALL}))"), {"age": older_than}
        )
        gone = await connection.execute(_PRUNE, {"before": before})
        await connection.execute(_PRUNED, {"before": before})
        staged = await connection.execute(_PRUNE_STAGED, {"before": before})
    async with engine.begin() as connection:
        await connection.execute(_NOBODY_ADDS)
        await connection.execute(_PRUNE_REVISIONS, {"before": before})
        await connection.execute(_PRUNE_DOCUMENTS)
    return gone.rowcount + staged.rowcount


# a call that seems to live for a day has lost its worker, and its end with it
_OLDEST_CALL = (
    "SELECT min(started_at) FROM calls WHERE ended_at IS NULL"
    " AND started_at > now() - '1 day'::interval"
)
_PRUNE = text(
    """
DELETE FROM passages p USING knowledge_versions v
WHERE v.knowledge_base_id = p.knowledge_base_id AND v.version = p.until_version
  AND v.published_at < :before
"""
)
_PRUNED = text(
    """
UPDATE knowledge_versions v SET pruned_at = now() FROM knowledge_versions next
WHERE next.knowledge_base_id = v.knowledge_base_id AND next.version = v.version + 1
  AND next.published_at < :before AND v.pruned_at IS NULL
"""
)
_PRUNE_STAGED = text(
    """
DELETE FROM passages p USING document_revisions r, documents d
WHERE p.since_version IS NULL AND r.id = p.revision_id AND d.id = r.document_id
  AND d.updated_at < :before
  AND (d.revision_id <> r.id OR (d.state IN ('failed', 'refused', 'removed') AND d.next_at IS NULL))
"""
)
# who adds an original again holds its base: else it could be erased under the document's hands
_NOBODY_ADDS = text("SELECT id FROM knowledge_bases ORDER BY id FOR UPDATE")
_PRUNE_REVISIONS = text(
    """
DELETE FROM document_revisions r USING documents d
WHERE d.id = r.document_id AND r.created_at < :before
  AND (d.revision_id <> r.id OR d.state = 'removed')
  AND NOT EXISTS (SELECT FROM passages p WHERE p.revision_id = r.id)
"""
)
_PRUNE_DOCUMENTS = text(
    """
DELETE FROM documents d WHERE d.state = 'removed'
  AND NOT EXISTS (SELECT FROM document_revisions r WHERE r.document_id = d.id)
"""
)
