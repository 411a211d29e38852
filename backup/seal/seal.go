// Package seal encrypts what is stored in the object tier, and proves on reading that it
// is what was stored there, under that name.
//
// Each object has a data key of its own, which is stored in the object's header,
// encrypted by a wrapping key. Wrapping keys are objects themselves, encrypted by the master key:
// a file, or a key of AWS KMS. So the master key is needed once per process, and
// a new one takes its place by encrypting the wrapping keys anew, without a byte of data being rewritten.
package seal
