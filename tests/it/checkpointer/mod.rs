mod contract;
mod lanes;
mod replay;
