//! The judge is total: it has a verdict on any events in any order. And its fast forms of EVS 5
//! and 6.3 find what the plain ones find.
