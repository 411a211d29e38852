// Package privilege runs tierd with the rights that deploy/ gives it and no others, and
// looks for what a user of those rights, or a reader of its logs, must not find.
package privilege
