// Package job keeps long work in the bucket, at jobs/<id>: who asked for what, how far
// it is, and what came of it.
//
// A job belongs to the runner that swapped its record last. That runner swaps it again
// and again while it works, and so shows that it lives; when it has not for a lapse, by
// the bucket's own Date, whoever looks next takes the job over by a swap of its own and
// begins anew. A runner that was asleep loses its next swap and stops. Until then both
// may be at work: what a job does must come to the same when it is done twice, side by
// side or one after another. It is written from what it finds, not from how far somebody
// came.
//
// Nobody looks only to look: jobs are looked at when somebody asks for them, when a
// process starts, and when Resume is called.
package job
