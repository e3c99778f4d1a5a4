# Reads which processes of a program run, on request with the environment that each was started with. Changes nothing.
#
# in:   {"image": "ollama.exe", "environment": true}     image: file name of the program, case does not count
# out:  {"processes": [{"pid": 4120, "parent": 3412, "image": "ollama.exe", "path": "C:\\...\\ollama.exe", "session": 0,
#        "started": "2026-02-09T07:13:02Z", "user": "VENGEANCE\\Steam", "command_line": "...", "environment":
#        {"OLLAMA_HOST": "0.0.0.0:11434"}, "environment_refused": null}]}
#       path, started, user, command_line: null where this account may not see them
#       environment: null when it was not asked for, or could not be read; the reason is environment_refused then
#
# A program that runs keeps the environment that it was started with, whatever the registry says since. Windows shows it
# nowhere, so it is read from the memory of the process, as Process Explorer does: the process environment block holds the
# address of its parameters (0x20), and they hold address (0x80) and size (0x3F0) of the variables, on 64-bit Windows.
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-process
# https://learn.microsoft.com/windows/win32/api/winternl/nf-winternl-ntqueryinformationprocess
# https://learn.microsoft.com/windows/win32/api/winternl/ns-winternl-rtl_user_process_parameters
# The offsets: https://github.com/giampaolo/psutil/blob/master/psutil/arch/windows/ntextapi.h (RTL_USER_PROCESS_PARAMETERS_)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson

$cannot = $null
if ($wanted.environment) {
    try {
        if ($null -eq ('Vengeance.ProcessEnvironment' -as [type])) {
            Add-Type -TypeDefinition @'
using System;
using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text;

namespace Vengeance
{
    public static class ProcessEnvironment
    {
        [StructLayout(LayoutKind.Sequential)]
        private struct Basic
        {
            public IntPtr ExitStatus;
            public IntPtr Peb;
            public IntPtr Affinity;
            public IntPtr Priority;
            public IntPtr Id;
            public IntPtr Parent;
        }

        [DllImport("kernel32.dll", SetLastError = true)]
        private static extern IntPtr OpenProcess(uint access, bool inherit, uint id);

        [DllImport("kernel32.dll", SetLastError = true)]
        private static extern bool ReadProcessMemory(
            IntPtr process, IntPtr address, byte[] buffer, IntPtr size, out IntPtr count);

        [DllImport("kernel32.dll")]
        private static extern bool CloseHandle(IntPtr handle);

        [DllImport("ntdll.dll")]
        private static extern int NtQueryInformationProcess(
            IntPtr process, int kind, ref Basic answer, int size, IntPtr written);

        private static byte[] Read(IntPtr process, long address, long size)
        {
            byte[] buffer = new byte[size];
            IntPtr count;
            if (!ReadProcessMemory(process, new IntPtr(address), buffer, new IntPtr(size), out count))
            {
                throw new Win32Exception();
            }
            return buffer;
        }

        public static string Text(uint id)
        {
            if (IntPtr.Size != 8) { throw new PlatformNotSupportedException("This PowerShell is not a 64-bit one."); }
            // PROCESS_QUERY_INFORMATION and PROCESS_VM_READ
            IntPtr process = OpenProcess(0x410, false, id);
            if (process == IntPtr.Zero) { throw new Win32Exception(); }
            try
            {
                Basic basic = new Basic();
                int status = NtQueryInformationProcess(process, 0, ref basic, Marshal.SizeOf(basic), IntPtr.Zero);
                if (status != 0) { throw new Win32Exception("NtQueryInformationProcess answered " + status.ToString("x8")); }
                long parameters = BitConverter.ToInt64(Read(process, basic.Peb.ToInt64() + 0x20, 8), 0);
                long address = BitConverter.ToInt64(Read(process, parameters + 0x80, 8), 0);
                long size = BitConverter.ToInt64(Read(process, parameters + 0x3F0, 8), 0);
                if (size < 0 || size > 1048576) { throw new Win32Exception("Its environment has " + size + " bytes."); }
                return Encoding.Unicode.GetString(Read(process, address, size));
            }
            finally { CloseHandle(process); }
        }
    }
}
'@
        }
    }
    catch { $cannot = "this PowerShell may not compile what reads it: $($_.Exception.Message)" }
}

$processes = @()
foreach ($one in @(Get-CimInstance -ClassName Win32_Process | Where-Object { $_.Name -eq [string] $wanted.image })) {
    $found = [ordered] @{
        pid = [long] $one.ProcessId
        parent = [long] $one.ParentProcessId
        image = [string] $one.Name
        path = $one.ExecutablePath
        session = [int] $one.SessionId
        started = $null
        user = $null
        command_line = $one.CommandLine
        environment = $null
        environment_refused = $cannot
    }
    if ($null -ne $one.CreationDate) { $found.started = $one.CreationDate.ToUniversalTime().ToString('s') + 'Z' }
    # It may have ended since it was listed.
    $owner = Invoke-CimMethod -InputObject $one -MethodName 'GetOwner' -ErrorAction 'SilentlyContinue'
    if ($null -ne $owner -and $owner.ReturnValue -eq 0) { $found.user = "$($owner.Domain)\$($owner.User)" }
    if ($wanted.environment -and $null -eq $cannot) {
        try {
            $block = [Vengeance.ProcessEnvironment]::Text([uint32] $one.ProcessId)
            $variables = [ordered] @{}
            foreach ($line in $block.Split([char] 0)) {
                # An empty one ends the block; those that begin with = are cmd.exe's own (=C:).
                if ($line -eq '') { break }
                $sign = $line.IndexOf('=', 1)
                if ($sign -gt 0 -and $line[0] -ne '=') { $variables[$line.Substring(0, $sign)] = $line.Substring($sign + 1) }
            }
            $found.environment = $variables
        }
        catch { $found.environment_refused = $_.Exception.GetBaseException().Message }
    }
    $processes += $found
}

$answer = [ordered] @{ processes = $processes }
ConvertTo-Json -InputObject $answer -Compress -Depth 5
