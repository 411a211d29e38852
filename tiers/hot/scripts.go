package hot

import (
	"context"
	"crypto/sha1" // #nosec: Redis names scripts by their SHA1
	"embed"
	"encoding/hex"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// The entry points; each is lua/<name>.lua after the libraries it needs.
const (
	scriptAppend   = "append"
	scriptStamp    = "stamp"
	scriptApply    = "apply"
	scriptLock     = "lock"
	scriptLoad     = "load"
	scriptPurge    = "purge"
	scriptLeased   = "leased"
	scriptSequence = "sequence"
	scriptTicket   = "ticket"
	scriptPlan     = "plan"
	scriptAdopt    = "adopt"
	scriptMapping  = "mapping"
	scriptInspect  = "inspect"
	scriptLanes    = "lanes"
	scriptEnter    = "enter"
	scriptAccept   = "accept"
	scriptGiveUp   = "giveup"
	scriptRepair   = "repair"
	scriptCommit   = "commit"
	scriptRead     = "read"
	scriptEvents   = "events"
	scriptLease    = "lease"
	scriptMember   = "member"
	scriptAlarm    = "alarm"
	scriptCompact  = "compact"
	scriptHistory  = "history"
	scriptResolve  = "resolve"
	scriptFence    = "fence"
	scriptRecover  = "recover"
	scriptRestore  = "restore"
	scriptArchive  = "archive"
	scriptReseal   = "reseal"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// saltedScripts are the entry points that only run in their own incarnation.
func saltedScripts() []string {
	return []string{
		scriptCommit, scriptRead, scriptEvents, scriptLease, scriptMember,
		scriptAlarm, scriptCompact, scriptHistory, scriptResolve, scriptFence,
		scriptAppend, scriptStamp, scriptApply, scriptLock, scriptLoad, scriptPurge, scriptLeased,
		scriptSequence, scriptTicket, scriptPlan, scriptAdopt, scriptMapping, scriptInspect, scriptLanes, scriptArchive, scriptReseal,
	}
}

// libraries are what an entry point needs before it, in order: lua/lib.lua and what
// is shared by some.
func libraries(script string) []string {
	switch script {
	case scriptCommit:
		return []string{"lib", "write", "decide"}
	case scriptAppend:
		return []string{"lib", "stamping", "write", "decide"}
	case scriptStamp, scriptLock:
		return []string{"lib", "stamping"}
	case scriptApply:
		return []string{"lib", "stamping", "write", "effects"}
	case scriptRestore:
		return []string{"lib", "write", "auth"}
	case scriptPlan:
		return []string{"lib", "write", "effects", "auth"}
	default:
		return []string{"lib"}
	}
}

// scriptText is the text of an entry point for one incarnation, byte for byte as
// it is loaded; touched adds what makes it wait for replicas.
func scriptText(name, incarnation string, touched bool) (string, error) {
	text := "local incarnation = '" + incarnation + "'\n"
	if touched {
		text += touchBefore
	}
	for _, part := range append(libraries(name), name) {
		lua, err := luaFiles.ReadFile("lua/" + part + ".lua")
		if err != nil {
			return "", fmt.Errorf("script %s: %w", name, err)
		}
		text += string(lua)
	}
	if touched {
		text += touchAfter
	}
	return text, nil
}

// load puts the scripts of an incarnation on Redis and gives their SHA1s.
func (c *Client) load(ctx context.Context, incarnation string) (map[string]string, error) {
	primary, err := c.primary(ctx)
	if err != nil {
		return nil, err
	}
	shas := make(map[string]string)
	_, err = primary.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, name := range saltedScripts() {
			text, err := scriptText(name, incarnation, c.settings.ReplicaAcks > 0)
			if err != nil {
				return err
			}
			sum := sha1.Sum([]byte(text))
			shas[name] = hex.EncodeToString(sum[:])
			p.ScriptLoad(ctx, text)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load scripts: %w", err)
	}
	return shas, nil
}

// primary is the server that holds this shard's keys: in a Redis Cluster a command
// that names no key would go to any node.
func (c *Client) primary(ctx context.Context) (redis.Cmdable, error) {
	cluster, ok := c.parts.Redis.(*redis.ClusterClient)
	if !ok {
		return c.parts.Redis, nil
	}
	node, err := cluster.MasterForKey(ctx, c.names[0])
	if err != nil {
		return nil, fmt.Errorf("find the node of slot %s: %w", c.names[0], err)
	}
	return node, nil
}
