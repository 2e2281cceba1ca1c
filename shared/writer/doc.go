// Package writer turns commands into commits, many at a time.
//
// A command is decided on the newest state and on what the commands before it in its
// batch left: it is refused, or answered as it was answered before, or it becomes ops.
// One commit holds the ops of a whole batch.
//
// # What is decided
//
// Revisions count changes, from 0. Changing a thread or making it a tombstone is a
// change of the thread; posting is not. Editing a message is a change of the message.
// Making a message a tombstone is not: its text is sealed under its revision, and
// stays as it is.
//
// A thread's Updated moves when it changes and when somebody posts; its entry among
// the owner's changes moves with it. An edited or deleted message moves its own entry
// only.
//
// What is purged is gone at once for whoever asks: a message with its texts and entries,
// a thread by a record that nobody finds any more. A thread's messages then go in as many
// commits as they need. The purge of a message is no change of its thread, nor of what
// answered it: that keeps a link to what the message answered.
//
// Every time in a key is the commit's, or one more than the last where that is taken.
// An imported message has its original time in its key when that is after the
// thread's last and not in the future: a time to come in a key would shut out
// whoever posts next.
package writer
